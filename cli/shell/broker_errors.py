"""What a command says if the broker does not answer, or refuses."""

from launcher.readiness import forbidden, trouble
from shared.domain.errors import BrokerUnavailable, DomainError
from shared.i18n.command import gettext as _
from shared.i18n.command import language, os_reason
from shared.messages.texts import describe_problem
from shared.redis.addresses import server_location


def describe_broker_error(error: DomainError | OSError, url: str) -> str:
    """Why a command cannot work with the broker, and what to do.

    Args:
        error: of the command.
        url: of the broker; its password is not shown.
    """
    if type(error) is BrokerUnavailable:
        cause = error.__cause__ or error.__context__
        reason = trouble(cause if isinstance(cause, Exception) else error)
        if reason == forbidden():
            text = _(
                "the broker at {address} is that of another user's service: repeat the command as"
                " that user (`carprice doctor`)"
            )
            return text.format(address=server_location(url))
        text = _(
            "the broker at {address} does not answer ({reason}): is the service running?"
            " (`carprice status`)"
        )
        return text.format(address=server_location(url), reason=reason)
    if isinstance(error, DomainError):
        return describe_problem(error.code, error.params, language())[1]
    return os_reason(error)
