"""Roles: what `meshscribe serve --role …` runs when one machine is not enough. Each is a part of the one process, on Kafka in between.

receive → raw topic → process → events topics → store → SQL → audit. Only the composition root imports this package.
"""
