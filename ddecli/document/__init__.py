"""An article's blocks, and how they become Markdown, HTML and PDF; it knows no claims."""
