"""Handing in: works are packed into calls, and what cannot be taken just now is sent again, under the same keys."""

from __future__ import annotations

from collections.abc import Sequence

from dynwork import errors
from dynwork.client._async_connection import AsyncConnection
from dynwork.client._outside import AsyncOutside
from dynwork.client._work import OF_ONE_JOB, PARCEL_BYTES_MAX, Parcel, Receipt, Unusable, Work, parcels, receipt_of


class AsyncDelivery:
    """Brings works to the cluster."""

    def __init__(self, connection: AsyncConnection, outside: AsyncOutside) -> None:
        self._connection = connection
        self._outside = outside
        self._bytes_max = PARCEL_BYTES_MAX
        """Longest call of several works that is worth a try: shorter than any that was refused for its length."""

    async def hand_in(self, works: Sequence[Work]) -> list[Receipt]:
        """Return a receipt for each, in order. Raises ``UnavailableError`` if one cannot be taken for too long."""
        receipts: dict[int, Receipt] = {}
        packed = parcels(works, self._outside.new_id)
        while (parcel := await self._outside.apart(next, packed, None)) is not None:
            if isinstance(parcel, Unusable):
                receipts[parcel.place] = Receipt(error=parcel.error)
            else:
                receipts.update(await self._deliver(parcel))
        return [receipts[place] for place in range(len(works))]

    async def _deliver(self, parcel: Parcel) -> dict[int, Receipt]:
        """Hand in one parcel, and what was not taken of it again, until everything is answered for."""
        receipts: dict[int, Receipt] = {}
        patience = self._connection.patience()
        while True:
            later: dict[int, errors.UnavailableError] = {}
            for index, receipt in enumerate(await self._call(parcel)):
                if isinstance(receipt.error, errors.UnavailableError):
                    later[index] = receipt.error
                else:
                    receipts[parcel.places[index]] = receipt
            if not later:
                return receipts
            if len(later) < len(parcel.places):
                patience = self._connection.patience()  # it goes on, if slowly
            parcel = parcel.only(later)
            await self._outside.sleep(patience.pause_s(next(iter(later.values()))))

    async def _call(self, parcel: Parcel) -> list[Receipt]:
        """Return what became of each. If a call is refused for what one of its works is, or all are, it is halved."""
        if len(parcel.places) > 1 and parcel.size > self._bytes_max:
            return await self._halved(parcel)
        try:
            reply = await self._connection.call(parcel.call())
        except OF_ONE_JOB as error:
            if len(parcel.places) == 1:
                return [Receipt(error=error)]
            if isinstance(error, errors.BodyTooLargeError):
                self._bytes_max = parcel.size - 1
            return await self._halved(parcel)
        if len(reply.results) != len(parcel.places):
            raise errors.UnexpectedAnswerError(
                f"{len(parcel.places)} jobs were handed in, {len(reply.results)} answered"
            )
        return [receipt_of(result) for result in reply.results]

    async def _halved(self, parcel: Parcel) -> list[Receipt]:
        count = len(parcel.places)
        first = await self._call(parcel.only(range(count // 2)))
        return first + await self._call(parcel.only(range(count // 2, count)))
