from tinydiff.cli import train_main

train_main()
