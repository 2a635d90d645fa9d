"""The closed lists that records, messages and screens share.

Values are stored in records for decades: a member may be added, never renamed or reused.
Source of the lists: domain facts sections 8.1 to 8.4; labels for people live in labels.toml.
"""

from enum import StrEnum


class Tier(StrEnum):
    """Where a node stands; certificates, logs and the link follow this order."""

    ROOT = "root"
    CENTRE = "centre"
    PROVINCE = "province"
    COMMUNE = "commune"
    OUTPOST = "outpost"


class DocumentKind(StrEnum):
    """What one Automerge document is about. National reports count the first five apart."""

    VISIT = "visit"
    PERSON = "person"
    PETITION = "petition"
    CASE = "case"
    GROUP = "group"
    DIRECTIVE = "directive"


class CaseType(StrEnum):
    """Class of a petition by content and request, never by its title (Circular 05/2021, Art. 6)."""

    COMPLAINT = "khieu_nai"
    DENUNCIATION = "to_cao"
    RECOMMENDATION = "kien_nghi"
    REFLECTION = "phan_anh"
    LAND_DISPUTE = "tranh_chap_dat_dai"
    SEVERAL_CONTENTS = "nhieu_noi_dung"
    OUT_OF_SCOPE = "ngoai_pham_vi"


class Role(StrEnum):
    """Roles that an account can hold; machine roles see no case content.

    Who keeps the identity of denouncers has no account on a networked node, and no role here.
    """

    RECEPTION_OFFICER = "reception_officer"
    RECEPTION_LEAD = "reception_lead"
    COMMUNE_CHAIR = "commune_chair"
    PETITION_OFFICER = "petition_officer"
    VERIFIER = "verifier"
    RECORDS_CLERK = "records_clerk"
    ARCHIVIST = "archivist"
    PROVINCIAL_RECEPTION_BOARD = "provincial_reception_board"
    PROVINCIAL_CHAIR = "provincial_chair"
    PROVINCIAL_INSPECTORATE = "provincial_inspectorate"
    DEPARTMENT = "department"
    CENTRAL_RECEPTION_BOARD = "central_reception_board"
    CENTRAL_REVIEWER = "central_reviewer"
    SESSION_SECRETARY = "session_secretary"
    SESSION_TECHNICIAN = "session_technician"
    INTERPRETER = "interpreter"
    SECURITY_OFFICER = "security_officer"
    AUDITOR = "auditor"
    SUPERVISOR_HDND = "supervisor_hdnd"
    NODE_ADMIN = "node_admin"
    PROVINCE_ADMIN = "province_admin"


class DeviceScope(StrEnum):
    """What may be done at a device, whoever signs in there."""

    WORK = "work"
    READ = "read"


class PartyRole(StrEnum):
    """How a person stands in a visit or case."""

    PETITIONER = "petitioner"
    LEGAL_REPRESENTATIVE = "representative_legal"
    AUTHORISED_REPRESENTATIVE = "representative_authorised"
    LAWYER = "lawyer_or_legal_aid"
    GROUP_REPRESENTATIVE = "group_representative"
    ACCOMPANYING = "accompanying"


class ReceptionKind(StrEnum):
    """Regular duty, the head's periodic day, or ad hoc."""

    REGULAR = "regular"
    PERIODIC = "periodic"
    AD_HOC = "ad_hoc"


class Channel(StrEnum):
    """How a petition reached the office (Circular 05/2021 lists the sources)."""

    VISIT = "visit"
    POST = "post"
    BOX = "box"
    FORWARDED = "forwarded"


class IdentityType(StrEnum):
    """The paper that was shown; its number is stored only sealed."""

    CITIZEN_CARD = "cccd"
    PASSPORT = "passport"
    OTHER = "other"


class IdentityMode(StrEnum):
    """How a denunciation names its author; the author itself is never on a networked node."""

    NAMED = "named"
    ANONYMOUS = "anonymous"
    IMPERSONATED = "impersonated"


class RefusalGround(StrEnum):
    """Grounds for refusing reception (Law on Citizen Reception Art. 9; Circular 04/2021 Art. 4)."""

    UNABLE = "unable"
    THREATENS = "threatens"
    SETTLED_PERSISTS = "settled_persists"
    OTHER_LAW = "other_law"


class ClosingReason(StrEnum):
    """Why a case ends; closing without one is refused."""

    SETTLED = "settled"
    ANSWERED = "answered"
    GUIDED = "guided"
    TRANSFERRED = "transferred"
    NOT_ACCEPTED = "not_accepted"
    INELIGIBLE = "ineligible"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"
    LAPSED = "lapsed"
    SPLIT = "split"
    DUPLICATE = "duplicate"


class Outcome(StrEnum):
    """What a decision or conclusion found."""

    RIGHT = "right"
    PARTLY_RIGHT = "partly_right"
    WRONG = "wrong"


class CaseState(StrEnum):
    """States of a petition or case. Overdue is derived from deadlines, never a state."""

    NEW = "new"
    RECEIVED = "received"
    REGISTERED = "registered"
    IDENTITY_CHECKED = "identity_checked"
    RECORDED = "recorded"
    READBACK_CONFIRMED = "readback_confirmed"
    REFUSED_RECEPTION = "refused_reception"
    CLASSIFIED = "classified"
    SPLIT = "split"
    INELIGIBLE = "ineligible"
    FILED = "filed"
    AWAITING_SUPPLEMENT = "awaiting_supplement"
    LAPSED = "lapsed"
    GUIDED_ELSEWHERE = "guided_elsewhere"
    TRANSFERRED = "transferred"
    TRANSFER_ACKNOWLEDGED = "transfer_acknowledged"
    TRANSFER_RETURNED = "transfer_returned"
    PROPOSED_ACCEPTANCE = "proposed_acceptance"
    ACCEPTED = "accepted"
    NOT_ACCEPTED = "not_accepted"
    VERIFYING = "verifying"
    SUSPENDED = "suspended"
    DRAFT_CONCLUSION = "draft_conclusion"
    DECIDED = "decided"
    HANDLED = "handled"
    PUBLISHED = "published"
    EXECUTING = "executing"
    WITHDRAWN_FULL = "withdrawn_full"
    TERMINATED = "terminated"
    LAWSUIT_FILED = "lawsuit_filed"
    ASSIGNED = "assigned"
    ANSWERED = "answered"
    CLOSED = "closed"
    ARCHIVED_CURRENT = "archived_current"
    ARCHIVED_HISTORICAL = "archived_historical"


class DirectiveState(StrEnum):
    """Life of a written directive with a time limit."""

    ISSUED = "issued"
    ACKNOWLEDGED = "acknowledged"
    REPORTED = "reported"
    DONE = "done"
    WITHDRAWN = "withdrawn"
