"""Identity, certificates, the Merkle log, tree heads, proofs and seals; no I/O but keyfile.py."""
