"""Apache Kafka: connections, topics, transactions, and events as records. Used by the Kafka sink, journal, relays and roles."""
