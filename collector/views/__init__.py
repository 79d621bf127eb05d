"""The pages that people look at: HTML made here of the audit API's own answers, so that a page never shows more than the API would give.

Every view is a URL that can be sent. Pages work without JavaScript; assets/page.js makes them quicker to use. Nothing is loaded from
another host, and nothing that came with the traffic is ever markup, a script, a style or a link's target.
"""
