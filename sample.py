from tinydiff.cli import sample_main

sample_main()
