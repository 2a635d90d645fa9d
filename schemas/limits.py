"""Every limit of the system, with its unit in the name and its reason beside it."""

# A change of a long statement stays far below; a peer cannot make us hold more in memory per leaf.
LEAF_BYTES_MAX = 1 << 20
# One message holds one leaf of the largest size plus its envelope.
MESSAGE_BYTES_MAX = LEAF_BYTES_MAX + (64 << 10)
# Leaves are packed up to about this size; small enough that a cut wastes little.
FRAME_BYTES_TARGET = 16 << 10
FRAME_LEAVES_MAX = 512
# Bytes in flight per log before an acknowledgement must arrive.
WINDOW_BYTES = 256 << 10
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
CHUNK_BYTES = 16 << 10
# Asked for at a time: at 64 kbit/s a record waits at most some seconds behind it.
WANT_BYTES = 64 << 10

PEOPLE_PER_VISIT_MAX = 20
PETITIONS_PER_VISIT_MAX = 20
SPLIT_CHILDREN_MAX = 20

# A reading of the wall clock this far behind the newest record means the clock jumped back.
CLOCK_BACK_MS_MAX = 5 * 60 * 1000
# A record this far ahead of our clock is kept but does not drag our clock along.
CLOCK_AHEAD_MS_MAX = 24 * 60 * 60 * 1000
