"""Schema validity, judged by the formats' own libraries."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from truegate import jsonio
from truegate.model import Reason
from truegate.sbom.read import SbomDocument

_MOST_ERRORS = 100  # of one document: a wrong tool makes the same error in each component


def schema_errors(document: SbomDocument) -> tuple[Reason, ...]:
    """Give one reason for each error, with its JSON path; none when the document is valid."""
    errors = _cyclonedx_errors(document) if document.format == "cyclonedx" else _spdx_errors(document)
    texts = [f"{document.name}: {place}: {message[:200]}" for place, message in islice(errors, _MOST_ERRORS)]
    step = f"mend {document.name}, or the tool that wrote it, and run again"
    return tuple(Reason("sbom-schema", "failed", text, step) for text in texts)


def _cyclonedx_errors(document: SbomDocument) -> Iterable[tuple[str, str]]:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    validator = JsonStrictValidator(SchemaVersion.from_version(document.version))
    errors = validator.validate_str(jsonio.dumps(document.record).decode(), all_errors=True)
    return ((error.data.json_path, error.data.message) for error in errors or ())


def _spdx_errors(document: SbomDocument) -> Iterable[tuple[str, str]]:
    from spdx_tools.spdx.parser.error import SPDXParsingError
    from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    places = {part.ref: "$.{}[{}]".format(*part.path) for part in (document.subject, *document.components) if part}
    try:
        found = validate_full_spdx_document(JsonLikeDictParser().parse(document.record))  # type: ignore[no-untyped-call]
    except SPDXParsingError as error:
        return [("$", message) for message in error.messages]
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # its parser trusts the shape of what it reads
        return [("$", f"can't be parsed ({type(error).__name__}: {error})")]
    ids = [str(one.context.spdx_id or one.context.parent_id) for one in found]
    return [(places.get(ref, "$"), one.validation_message) for ref, one in zip(ids, found, strict=True)]
