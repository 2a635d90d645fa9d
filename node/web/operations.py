"""The table of operations: routes, permission checks and the OpenAPI document are made of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

from aiohttp import web
from pydantic import BaseModel

from node.queries.cases import CaseFilter
from node.queries.facts import CasePage, Directive, DirectivePage, Draft, Today, VisitPage
from node.requests import (
    CaseAction,
    DirectiveAction,
    EditFields,
    IssueDirective,
    RegisterVisit,
    SplitCase,
)
from node.web import (
    api_account,
    api_cases,
    api_directives,
    api_files,
    api_node,
    api_packs,
    api_visits,
)
from node.web.answers import (
    AttachedFile,
    CaseAnswer,
    Cases,
    CutLink,
    DocumentAnswer,
    DocumentSync,
    Done,
    DraftBody,
    DraftList,
    Events,
    Health,
    IdentityAnswer,
    LinkAnswer,
    Made,
    MakePack,
    MakeToken,
    Me,
    NewPassword,
    PacksAnswer,
    RevokedNode,
    RevokeNode,
    SendFiles,
    SignIn,
    TechnicianAnswer,
    TokenAnswer,
    VisitMade,
)
from node.web.calls import Call

PREFIX: Final = "/api/v1"
Method = Literal["GET", "POST", "PUT", "DELETE"]
Handler = Callable[[Call], Awaitable[BaseModel | web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that can be asked over HTTP.

    Attributes:
        id: unique, stable name.
        path: below the prefix.
        permission: its line in the table of permissions; None when nobody has to be signed in.
        answer: model of a success, or the media type of one that is not JSON.
        body: model of the request's body; `multipart` for an upload.
        query: model of the parameters.
    """

    id: str
    method: Method
    path: str
    permission: str | None
    summary: str
    handler: Handler
    answer: type[BaseModel] | str
    body: type[BaseModel] | Literal["multipart"] | None = None
    query: type[BaseModel] | None = None

    @property
    def is_change(self) -> bool:
        """Tell whether it needs the CSRF token."""
        return self.method != "GET"


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        id="sign_in",
        method="POST",
        path="/sign-in",
        permission=None,
        summary="Sign in with name and password; sets the session cookie",
        handler=api_account.sign_in,
        body=SignIn,
        answer=Me,
    ),
    Operation(
        id="sign_out",
        method="POST",
        path="/sign-out",
        permission="account.sign_out",
        summary="End the session",
        handler=api_account.sign_out,
        answer=Done,
    ),
    Operation(
        id="me",
        method="GET",
        path="/me",
        permission="account.me",
        summary="Who is signed in, and what that role may do",
        handler=api_account.me,
        answer=Me,
    ),
    Operation(
        id="change_password",
        method="POST",
        path="/me/password",
        permission="account.password",
        summary="Change the own password; all other sessions end",
        handler=api_account.change_password,
        body=NewPassword,
        answer=Done,
    ),
    Operation(
        id="read_today",
        method="GET",
        path="/today",
        permission="today.read",
        summary="What needs somebody today",
        handler=api_cases.read_today,
        answer=Today,
    ),
    Operation(
        id="list_cases",
        method="GET",
        path="/cases",
        permission="case.list",
        summary="Search and list cases",
        handler=api_cases.read_cases,
        query=CaseFilter,
        answer=CasePage,
    ),
    Operation(
        id="read_case",
        method="GET",
        path="/cases/{id}",
        permission="case.read",
        summary="A case with everything that is known about it here",
        handler=api_cases.read_case,
        answer=CaseAnswer,
    ),
    Operation(
        id="act_on_case",
        method="POST",
        path="/cases/{id}/events",
        permission="case.act",
        summary="Record one event on a case; settling a conflict is one too",
        handler=api_cases.act,
        body=CaseAction,
        answer=Events,
    ),
    Operation(
        id="split_case",
        method="POST",
        path="/cases/{id}/split",
        permission="case.split",
        summary="Split a case of several contents into one case each",
        handler=api_cases.split,
        body=SplitCase,
        answer=Cases,
    ),
    Operation(
        id="export_case",
        method="GET",
        path="/cases/{id}/record",
        permission="case.record",
        summary="The signed file of a case, which `tiepdan verify` checks without a network",
        handler=api_files.download_record,
        answer="application/json",
    ),
    Operation(
        id="read_document",
        method="GET",
        path="/documents/{id}",
        permission="document.read",
        summary="The editable fields of a document, with the version they are read at",
        handler=api_cases.read_document,
        answer=DocumentAnswer,
    ),
    Operation(
        id="edit_document",
        method="POST",
        path="/documents/{id}/fields",
        permission="document.edit",
        summary="Set fields and texts of a document; choosing between rival values is this too",
        handler=api_cases.edit,
        body=EditFields,
        answer=Done,
    ),
    Operation(
        id="read_document_sync",
        method="GET",
        path="/documents/{id}/sync",
        permission="document.read",
        summary="Who holds a document: only this node, the province, the centre",
        handler=api_cases.read_sync,
        answer=DocumentSync,
    ),
    Operation(
        id="attach_file",
        method="POST",
        path="/documents/{id}/attachments",
        permission="attachment.add",
        summary="Attach a file of at most 50 MiB to a document",
        handler=api_files.attach,
        body="multipart",
        answer=AttachedFile,
    ),
    Operation(
        id="download_file",
        method="GET",
        path="/documents/{id}/attachments/{sha256}",
        permission="attachment.read",
        summary="An attached file by its SHA-256",
        handler=api_files.download,
        query=api_files.DownloadQuery,
        answer="application/octet-stream",
    ),
    Operation(
        id="reveal_identity",
        method="POST",
        path="/people/{id}/identity",
        permission="person.identity",
        summary="Open the sealed number of a person's identity paper; leaves an audit line",
        handler=api_cases.reveal_identity,
        answer=IdentityAnswer,
    ),
    Operation(
        id="register_visit",
        method="POST",
        path="/visits",
        permission="visit.register",
        summary="Register a visit with its people and petitions",
        handler=api_visits.register,
        body=RegisterVisit,
        answer=VisitMade,
    ),
    Operation(
        id="list_visits",
        method="GET",
        path="/visits",
        permission="visit.list",
        summary="Visits, newest first",
        handler=api_visits.read_visits,
        query=api_visits.VisitFilter,
        answer=VisitPage,
    ),
    Operation(
        id="list_drafts",
        method="GET",
        path="/drafts",
        permission="draft.keep",
        summary="The own forms that were begun and not sent",
        handler=api_visits.read_drafts,
        answer=DraftList,
    ),
    Operation(
        id="read_draft",
        method="GET",
        path="/drafts/{id}",
        permission="draft.keep",
        summary="One of the own drafts",
        handler=api_visits.read_draft,
        answer=Draft,
    ),
    Operation(
        id="save_draft",
        method="PUT",
        path="/drafts/{id}",
        permission="draft.keep",
        summary="Keep a form that was begun",
        handler=api_visits.save_draft,
        body=DraftBody,
        answer=Done,
    ),
    Operation(
        id="delete_draft",
        method="DELETE",
        path="/drafts/{id}",
        permission="draft.keep",
        summary="Throw a draft away",
        handler=api_visits.delete_draft,
        answer=Done,
    ),
    Operation(
        id="list_directives",
        method="GET",
        path="/directives",
        permission="directive.list",
        summary="Directives, those that wait first",
        handler=api_directives.read_directives,
        answer=DirectivePage,
    ),
    Operation(
        id="issue_directive",
        method="POST",
        path="/directives",
        permission="directive.issue",
        summary="Issue a directive with a time limit to offices below",
        handler=api_directives.issue,
        body=IssueDirective,
        answer=Made,
    ),
    Operation(
        id="read_directive",
        method="GET",
        path="/directives/{id}",
        permission="directive.list",
        summary="One directive",
        handler=api_directives.read_directive,
        answer=Directive,
    ),
    Operation(
        id="act_on_directive",
        method="POST",
        path="/directives/{id}/events",
        permission="directive.act",
        summary="Acknowledge, report on, finish or withdraw a directive",
        handler=api_directives.act,
        body=DirectiveAction,
        answer=Events,
    ),
    Operation(
        id="read_link",
        method="GET",
        path="/link",
        permission="link.read",
        summary="The state of the link upwards and what waits for it",
        handler=api_node.read_link,
        answer=LinkAnswer,
    ),
    Operation(
        id="cut_link",
        method="POST",
        path="/link/cut",
        permission="link.cut",
        summary="Cut or restore the link upwards; only in the demo",
        handler=api_node.cut_link,
        body=CutLink,
        answer=LinkAnswer,
    ),
    Operation(
        id="send_files",
        method="POST",
        path="/link/files",
        permission="link.files",
        summary="Send files at once, until their hours begin; or in these alone again",
        handler=api_node.send_files,
        body=SendFiles,
        answer=LinkAnswer,
    ),
    Operation(
        id="read_packs",
        method="GET",
        path="/packs",
        permission="pack.carry",
        summary="The last job with packs for a stick, and the parts that can be fetched",
        handler=api_packs.read_packs,
        answer=PacksAnswer,
    ),
    Operation(
        id="make_pack",
        method="POST",
        path="/packs",
        permission="pack.carry",
        summary="Begin to make a pack for an office directly above or below",
        handler=api_packs.make_pack,
        body=MakePack,
        answer=PacksAnswer,
    ),
    Operation(
        id="take_packs",
        method="POST",
        path="/packs/taken",
        permission="pack.carry",
        summary="Take packs in, each part a field `file`",
        handler=api_packs.take_packs,
        body="multipart",
        answer=PacksAnswer,
    ),
    Operation(
        id="fetch_pack",
        method="GET",
        path="/packs/{name}",
        permission="pack.carry",
        summary="A part that was made",
        handler=api_packs.fetch_pack,
        answer="application/octet-stream",
    ),
    Operation(
        id="stream_news",
        method="GET",
        path="/news",
        permission="link.read",
        summary="News as server-sent events: the link, what waits, one document",
        handler=api_node.stream_news,
        query=api_node.NewsFilter,
        answer="text/event-stream",
    ),
    Operation(
        id="read_technician",
        method="GET",
        path="/technician",
        permission="technician.read",
        summary="Logs, peers, alarms and dead letters of this node; no case content",
        handler=api_node.read_technician,
        answer=TechnicianAnswer,
    ),
    Operation(
        id="make_token",
        method="POST",
        path="/tokens",
        permission="node.enrol",
        summary="Make a one-time token with which a commune enrols over the network",
        handler=api_node.make_token,
        body=MakeToken,
        answer=TokenAnswer,
    ),
    Operation(
        id="withdraw_token",
        method="DELETE",
        path="/tokens/{code}",
        permission="node.enrol",
        summary="Make the token of a commune worthless",
        handler=api_node.withdraw_token,
        answer=Done,
    ),
    Operation(
        id="revoke_node",
        method="POST",
        path="/revocations",
        permission="node.revoke",
        summary="End the trust in the key of a node below; it cannot be taken back",
        handler=api_node.revoke,
        body=RevokeNode,
        answer=RevokedNode,
    ),
    Operation(
        id="health",
        method="GET",
        path="/health",
        permission=None,
        summary="Whether the node answers from its database",
        handler=api_node.health,
        answer=Health,
    ),
)
