"""Message queues and topics of our own: what consumers of callbacks do with them."""
