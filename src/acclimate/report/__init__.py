"""The report of one adaptation: HTML, figures, and the summary for terminals and machines."""
