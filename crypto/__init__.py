"""Identity, certificates, the Merkle log and its tree heads, proofs and sealing; no I/O but keyfile."""
