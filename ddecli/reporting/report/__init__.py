"""The reproduction report: a generated article as Markdown, HTML and PDF."""
