"""Apache Kafka: clients and their errors, topics, transactions, committed offsets, and events as records.

Used by the Kafka sink, journal, relays and roles. Only `private` relies on what aiokafka does not promise.
"""
