"""What people look at: figures, tables, the control panel."""
