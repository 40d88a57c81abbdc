"""ClickHouse's errors as its HTTP protocol carries them: a code, a name, a message and an HTTP status."""

import re
from typing import Final

_CODE: Final = re.compile(r"Code: (\d+)\.")
_NAME: Final = re.compile(r"\(([A-Z][A-Z0-9_]+)\)")

_STATUS: Final = {
    **dict.fromkeys((6, 26, 27, 38, 41, 42, 43, 53, 62, 69, 70, 72, 73, 117, 456, 457), 400),
    **dict.fromkeys((36, 46, 47, 60, 81, 115), 404),
    **dict.fromkeys((164, 291, 497), 403),
    **dict.fromkeys((192, 193, 194, 516), 401),
    **dict.fromkeys((202, 209, 210, 236, 252), 503),
    48: 501,
    159: 408,
    411: 411,
}


class Problem(Exception):
    """An error to answer with. `text` reads as ClickHouse's own does."""

    def __init__(self, code: int, name: str, message: str) -> None:
        self.code = code
        self.text = f"Code: {code}. DB::Exception: {message}. ({name})"
        super().__init__(self.text)

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return _STATUS.get(self.code, 500)


def problem_of(error: Exception) -> Problem:
    """Return the problem that the engine's error tells of."""
    if isinstance(error, Problem):
        return error
    text = str(error)
    text = text[max(0, text.find("Code: ")) :].strip()
    code = _CODE.match(text)
    names = _NAME.findall(text)
    problem = Problem(int(code[1]) if code else 1002, names[-1] if names else "UNKNOWN_EXCEPTION", "")
    problem.text = text if code else f"Code: 1002. DB::Exception: {text}. (UNKNOWN_EXCEPTION)"
    return problem
