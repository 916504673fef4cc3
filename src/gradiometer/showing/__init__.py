"""What people see: terminal, live view, figures, the report page, JSON. Reads runs, never loads torch."""
