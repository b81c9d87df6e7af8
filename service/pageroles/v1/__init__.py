"""The generated stubs of the contract, `proto/pageroles/v1`."""
