"""Log records on their way to CloudWatch: a second sink beside stderr, bounded, best-effort and never waited for.

``shipping`` opens it for a process, ``handler`` is the sink, ``buffer`` what waits, ``batches`` what AWS takes,
``redaction`` what no record may hold.
"""
