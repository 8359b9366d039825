"""The client interfaces of other systems, over the ledger: for programs that were written for those."""
