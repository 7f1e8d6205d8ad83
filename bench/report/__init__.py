"""Tables and pictures, from records and stored samples alone."""
