"""The page that people send round: tables, charts and samples of a suite in one file of HTML."""
