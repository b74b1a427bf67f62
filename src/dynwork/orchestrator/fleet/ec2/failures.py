"""What an error of EC2 means to the fleet.

The codes are those of https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html. The code decides,
not the status: EC2 sends "no capacity" as 400 and as 500. What is not listed: 4xx is a request that can never succeed,
anything else may have taken effect.
"""

from __future__ import annotations

from collections.abc import Mapping

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError

from dynwork.errors import (
    FleetCapacityError,
    FleetDeniedError,
    FleetError,
    FleetQuotaError,
    FleetTemplateError,
    FleetThrottledError,
    FleetTokenError,
    FleetUnclearError,
)

LOST = (BotoCoreError, ClientError, ResponseParserError, OSError, TimeoutError)
"""What a call may raise."""

_MEANING: Mapping[type[FleetError], tuple[str, ...]] = {
    FleetCapacityError: (
        "InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity",
        "InsufficientCapacity", "InsufficientCapacityOnHost", "UnfulfillableCapacity", "SpotMaxPriceTooLow",
        "InsufficientFreeAddressesInSubnet", "InsufficientAddressCapacity", "Unsupported",
    ),
    FleetQuotaError: (
        "InstanceLimitExceeded", "VcpuLimitExceeded", "MaxSpotInstanceCountExceeded", "VolumeLimitExceeded",
        "MaxIOPSLimitExceeded", "NetworkInterfaceLimitExceeded", "PendingVerification",
    ),
    FleetThrottledError: (
        "RequestLimitExceeded", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
        "RequestThrottledException", "EC2ThrottledException", "TooManyRequestsException", "BandwidthLimitExceeded",
        "LimitExceededException", "SlowDown", "PriorRequestNotComplete", "ConcurrentCreateFleetLimitExceeded",
    ),
    FleetDeniedError: (
        "UnauthorizedOperation", "AuthFailure", "AccessDenied", "AccessDeniedException", "OptInRequired", "Blocked",
        "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "IncompleteSignature",
        "MissingAuthenticationToken", "ExpiredToken", "ExpiredTokenException", "RequestExpired",
        "AuthorizationFailure", "DryRunOperation",
    ),
    FleetTokenError: ("IdempotentParameterMismatch", "IdempotentInstanceTerminated"),
    FleetUnclearError: ("InternalError", "InternalFailure", "Unavailable", "ServiceUnavailable", "RequestTimeout"),
}  # fmt: skip
MEANING: Mapping[str, type[FleetError]] = {code: leaf for leaf, codes in _MEANING.items() for code in codes}
"""By code. A type that a zone does not have at all is told as "Unsupported": the next place may have it."""

_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)
_NOT_FOUND = "InvalidInstanceID.NotFound"


def failure(error: BaseException) -> FleetError:
    """Return what ``error``, one of :data:`LOST`, means."""
    if isinstance(error, ClientError):
        code, message = _code(error), error.response.get("Error", {}).get("Message", "")
        return _leaf(error)(f"{code}: {message}" if message and message != code else code)
    if isinstance(error, _NO_CREDENTIALS):
        return FleetDeniedError(f"there are no credentials for EC2: {error}")
    if isinstance(error, ParamValidationError):
        return FleetTemplateError(f"EC2 would not understand the call: {error}")
    if isinstance(error, ResponseParserError):  # cut short, or of something in between: a proxy, a balancer
        return FleetUnclearError(f"EC2 gave an answer that cannot be understood ({error})")
    return FleetUnclearError(f"EC2 gave no answer ({type(error).__name__}: {error})")


def is_unknown_instance(error: BaseException) -> bool:
    """Say whether EC2 does not know the instance, or not any more, or not yet."""
    return isinstance(error, ClientError) and _code(error) in (_NOT_FOUND, "InvalidInstanceID.Malformed")


def is_spot_quota(error: BaseException) -> bool:
    """Say whether it is our limit of spot machines that is reached: on-demand ones have another."""
    return isinstance(error, ClientError) and _code(error) == "MaxSpotInstanceCountExceeded"


def _leaf(error: ClientError) -> type[FleetError]:
    listed = MEANING.get(_code(error))
    if listed is not None:
        return listed
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return FleetTemplateError if 400 <= status < 500 else FleetUnclearError


def _code(error: ClientError) -> str:
    code: str = error.response.get("Error", {}).get("Code", "")
    return code or "an answer that cannot be understood"
