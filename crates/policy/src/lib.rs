//! Who may see or do what: the law's tables and one pure decision.
