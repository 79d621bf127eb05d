"""What pages for browsers are made with: templates, the sheet, words and the shapes of charts. Next stop: collector/views shows them."""
