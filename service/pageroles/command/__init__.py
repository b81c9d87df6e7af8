"""The command `pageroles`: one command group a file, loaded when it is called."""
