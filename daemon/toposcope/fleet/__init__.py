"""The same questions over many hosts, through any server that speaks Prometheus' HTTP API.

client      asks the server (the only part that does I/O)
hosts       which hosts there are, and what a cache line costs on each
compare     outliers against peers, changes since a time, one host against its peers; pure
rank        which host suits a request best, by the cost models of `advise`; pure
"""
