"""The `pageroles` command. A module holds one command or one group of them, and is imported when it is called."""
