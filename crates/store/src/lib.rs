//! Everything that outlives a process of control: the only SQL.
