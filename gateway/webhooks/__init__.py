"""Tell an operator's servers of alerts, as Standard Webhooks.

A script decides an alert and the writer carries it to SQL. From there ``deliverer`` makes one
delivery for each endpoint that wants it, ``messages`` says what is sent, ``sender`` sends it.
``records`` are what SQL keeps, ``urls`` says where an endpoint may be.
"""
