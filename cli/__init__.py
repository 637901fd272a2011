"""Click commands: they parse, call and show; nothing here computes."""
