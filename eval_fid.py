from tinydiff.cli import eval_main

eval_main()
