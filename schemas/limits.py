"""Every limit of the system, with its unit in the name and its reason beside it."""

# A change of a long statement stays far below; a peer cannot make us hold more in memory per leaf.
LEAF_BYTES_MAX = 1 << 20
# One message holds one leaf of the largest size plus its envelope.
MESSAGE_BYTES_MAX = LEAF_BYTES_MAX + (64 << 10)
# One packet of any line with its headers; so much waits at most before something more urgent.
FRAME_BYTES_MAX = 1_200
FRAME_LEAVES_MAX = 512
# Of a leaf in parts, each but the last: putting a leaf together takes work for every part.
PART_BYTES_MIN = 1_000
# Frames of a log that wait for what they build on; a line loses few of a window at once.
EARLY_FRAMES_MAX = 1_024
# The largest leaf, packed as badly as can be.
PACKED_BYTES_MAX = LEAF_BYTES_MAX + (8 << 10)
# Bytes in flight before an acknowledgement must arrive: as much as is sent again after a cut, until
# the line is known to carry more. 64 kbit/s carry 4,800 in 600 ms; with this, what is tried beyond
# stays below 6 kB.
WINDOW_BYTES_MIN = 4_600
WINDOW_BYTES_MAX = 256 << 10
# The same where packets are paced below: what waits there for a lost packet must not stop the rest.
WINDOW_BYTES_PACED = 48 << 10
# A log that has this many leaves waiting for their tree head refuses more until it comes.
PENDING_LEAVES_MAX = 100_000
OFFERS_MAX = 4_096
GAPS_MAX = 256
COSIGNATURES_MAX = 8

# Operations in one change: a pasted text of 20 pages is about 60,000 characters.
CHANGE_OPS_MAX = 200_000
CHANGE_INFLATED_BYTES_MAX = 8 << 20
CHANGE_DEPS_MAX = 64
CHANGE_ACTORS_MAX = 256

FIELD_CHARS_MAX = 2_000
TEXT_CHARS_MAX = 60_000
EVENT_BYTES_MAX = 16 << 10

# The issue of paper: a scan of a long file at 300 dpi; the law of physics: a slow uplink.
ATTACHMENT_BYTES_MAX = 50 << 20
ATTACHMENT_NAME_CHARS_MAX = 200
CHUNK_BYTES = 1_152
CHUNK_NAME_BYTES = 8
# Asked for at a time: as much waits before a record, until the line is known to carry more.
WANT_BYTES_MIN = 4 * CHUNK_BYTES
WANT_BYTES_MAX = 256 << 10

PEOPLE_PER_VISIT_MAX = 20
PETITIONS_PER_VISIT_MAX = 20
SPLIT_CHILDREN_MAX = 20

# A reading of the wall clock this far behind the newest record means the clock jumped back.
CLOCK_BACK_MS_MAX = 5 * 60 * 1000
# A record this far ahead of our clock is kept but does not drag our clock along.
CLOCK_AHEAD_MS_MAX = 24 * 60 * 60 * 1000

# A pack goes through memory entry by entry: so many bytes of leaves, and of a file, in one.
PACK_LEAVES_BYTES = 256 << 10
PACK_PIECE_BYTES = 64 << 10
# The largest message, compressed as badly as can be.
PACK_ENTRY_BYTES_MAX = MESSAGE_BYTES_MAX + (8 << 10)
# The largest entry, and what stands at the start and the end of each part.
PACK_PART_BYTES_MIN = 4 << 20
# The file system of most sticks takes no file of 4 GiB.
PACK_PART_BYTES_DEFAULT = 3_900 << 20
PACK_PARTS_MAX = 9_999
# Files that a pack asks for; what is not in the first comes by the next.
PACK_WANTED_MAX = 1_000

# One turn of a reconciliation: less could not hold a range split and the fingerprint of the rest.
AUDIT_BYTES_MAX = 4_096
# Turns that a peer may ask for in a day: a peer could find differences for ever.
AUDIT_TURNS_MAX = 1_024
# Leaves asked for at a time when what was lost comes back, and given at most.
REPAIR_LEAVES = 32
REPAIR_LEAVES_MAX = 256

# A node that opens epoch after epoch has many logs; each is named with its last leaf and its root.
REVOCATION_LOGS_MAX = 1_024
REVOCATION_CHARS_MAX = 300
REVOCATION_BYTES_MAX = 128 << 10
# Changes that one leaf takes out of use; for more, others follow.
VOIDED_MAX = 8_192

# Of a place: 40.17083.99.
CODE_CHARS_MAX = 11
