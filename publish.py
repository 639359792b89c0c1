from tinydiff.share import publish_main

publish_main()
