"""Who takes part: merchants, their terminals, settlement accounts and fee schedules."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from posrecon.simulate.kinds import WALLETS, Channel
from posrecon.simulate.numbers import Ints, luhn_check_digit, stream

NO_CAP_MINOR = 10**15
FIRST_DAY = date(2020, 1, 1)

WALLET_RATE_CENTI_BPS = (0, 3800, 5500)
"""Rate of every channel that is not a card's, in hundredths of a basis point; without a cap."""

# City, the four digits that UnionPay merchant ids carry for it.
_CITIES = (
    ("北京", 1000), ("天津", 1100), ("上海", 2900), ("南京", 3010), ("杭州", 3310), ("宁波", 3320),
    ("福州", 3910), ("济南", 4510), ("郑州", 4910), ("武汉", 5210), ("长沙", 5510), ("广州", 5810),
    ("深圳", 5840), ("成都", 6510), ("重庆", 6530), ("西安", 7910),
)  # fmt: skip
_BRANDS = (
    "和顺",
    "永丰",
    "金桥",
    "绿洲",
    "百川",
    "如意",
    "东升",
    "云集",
    "老街",
    "小满",
    "万家",
    "鑫源",
    "嘉禾",
)
# Trade, merchant category code.
_TRADES = (
    ("超市", 5411), ("便利店", 5411), ("咖啡馆", 5814), ("面馆", 5812), ("药房", 5912), ("书店", 5942),
    ("五金店", 5251), ("酒店", 7011), ("服装店", 5651), ("加油站", 5541), ("眼镜店", 8043), ("电器行", 5722),
)  # fmt: skip
_MODELS = ("PAX A920", "Newland N910", "Landi APOS A8", "Verifone X990", "Centerm K9")
_PLACES = ("收银台1", "收银台2", "前台", "二楼", "外卖窗口", "移动")


@dataclass(frozen=True)
class Population:
    """Merchants by index (0-based), terminals by index, and their settings.

    Attributes:
        names: Merchant names (Chinese, representable in GBK).
        mer_ids: 15-digit UnionPay merchant ids.
        wechat_mch_ids: 10-digit WeChat Pay merchant ids; None where the merchant does not take it.
        alipay_pids: 16-digit Alipay account ids; None likewise.
        accounts: Settlement account per merchant; some neighbours share one.
        has_rrn: Whether the merchant's settlement file is of version 2.5, which carries the RRN.
        region_b: Whether the merchant's events arrive in the second terminal log of the night.
        quiet: Index of a merchant with one sale a day, whose refunds make a payout negative; -1 for none.
        weights: Share of the events, adds up to 1.
        prices_minor: (merchants, 5) popular amounts.
        terminal_first, terminal_count: The merchant's terminals are a run of indices.
        stan_start: Per terminal, the STAN before its first one.
        rate_centi_bps, cap_minor: (merchants, card type, period); card type 0 debit, 1 credit; period 0 up to
            and including the first business date, 1 afterwards.
    """

    merchant_ids: list[str]
    names: list[str]
    cities: list[str]
    mccs: Ints
    mer_ids: list[str]
    wechat_mch_ids: list[str | None]
    alipay_pids: list[str | None]
    accounts: list[str]
    has_rrn: Ints
    region_b: Ints
    quiet: int
    weights: "np.ndarray[tuple[int], np.dtype[np.float64]]"
    prices_minor: Ints
    terminal_first: Ints
    terminal_count: Ints
    terminal_ids: list[str]
    terminal_merchant: Ints
    terminal_models: list[str]
    terminal_places: list[str]
    stan_start: Ints
    fee_family: Ints
    fee_changes: Ints
    rate_centi_bps: Ints
    cap_minor: Ints

    @property
    def takes_wallet(self) -> Ints:
        """(merchants, 3), 1 where the merchant takes the channel; cards are taken by all."""
        ids = (self.mer_ids, self.wechat_mch_ids, self.alipay_pids)
        return np.array([[each is not None for each in column] for column in ids], dtype=np.int64).T

    def acquirer_id(self, merchant: int, channel: int) -> str:
        """What the acquirer of a channel calls a merchant; empty when it does not know it."""
        return (self.mer_ids, self.wechat_mch_ids, self.alipay_pids)[channel][merchant] or ""

    @property
    def wallet_desks(self) -> list[tuple[int, Channel]]:
        """(merchant, channel) of every wallet taken somewhere; each has one bill a day."""
        takes = self.takes_wallet
        return [
            (merchant, channel)
            for channel in WALLETS
            for merchant in np.flatnonzero(takes[:, channel]).tolist()
        ]


def _not_a_card_number(numbers: Ints, width: int) -> list[str]:
    """Append a digit that breaks the Luhn check, so that no scan takes an id for a card number."""
    digits = np.zeros((len(numbers), width), dtype=np.uint8)
    rest = numbers.copy()
    for column in range(width - 1, -1, -1):
        rest, digit = np.divmod(rest, 10)
        digits[:, column] = digit + ord("0")
    wrong = (luhn_check_digit(digits) + 1) % 10
    return [
        f"{number:0{width}d}{digit}" for number, digit in zip(numbers.tolist(), wrong.tolist(), strict=True)
    ]


def populate(*, seed: int, merchants: int) -> Population:
    """Draw the population of a simulation; the same seed and size give the same population."""
    rng = stream(seed, 1)
    index = np.arange(merchants, dtype=np.int64)
    city = rng.integers(0, len(_CITIES), merchants)
    brand = rng.integers(0, len(_BRANDS), merchants)
    trade = rng.integers(0, len(_TRADES), merchants)
    mccs = np.array([code for _, code in _TRADES], dtype=np.int64)[trade]
    areas = np.array([code for _, code in _CITIES], dtype=np.int64)[city]
    # 898 + area (4) + category (4) + number (3) would hold 1000 merchants; seven digits hold ten million.
    mer_ids = _not_a_card_number(898 * 10**11 + areas * 10**7 + index, 14)
    own_account = np.where(index % 6 == 5, index - 1, index)
    accounts = _not_a_card_number(31_0500_1618_3600_0000 + own_account * 7 + 11, 18)
    weights = 1.0 / (2.0 + (index % 7))
    # The last one with a settlement account of its own.
    quiet = int(index[index % 6 <= 3][-1]) if merchants >= 4 else -1
    if quiet >= 0:
        weights[quiet] = 0.0
    terminal_count = rng.integers(1, 7, merchants)
    terminal_first = np.concatenate([[0], np.cumsum(terminal_count)[:-1]]).astype(np.int64)
    terminals = int(terminal_count.sum())
    owner = np.repeat(index, terminal_count)
    stan_start = rng.integers(0, 999_999, terminals)
    # Some counters are about to wrap, the first one within its first handful of events.
    near_end = rng.random(terminals) < 0.05
    stan_start = np.where(near_end, 999_999 - rng.integers(3, 60, terminals), stan_start)
    stan_start[0] = 999_999 - 5

    family = index % 5
    debit = np.array([4000, 4500, 5000, 5250], dtype=np.int64)[rng.integers(0, 4, merchants)]
    credit = np.array([5500, 6000, 3800], dtype=np.int64)[rng.integers(0, 3, merchants)]
    cap = np.array([1800, 2000, 2500], dtype=np.int64)[rng.integers(0, 3, merchants)]
    flat = family == 3
    changes = ((index % 8 == 6) & ~flat).astype(np.int64)
    rate = np.empty((merchants, 2, 2), dtype=np.int64)
    rate[:, 0, 0] = np.where(flat, credit, debit)
    rate[:, 1, 0] = credit
    rate[:, :, 1] = rate[:, :, 0]
    rate[:, 0, 1] += 500 * changes
    caps = np.full((merchants, 2, 2), NO_CAP_MINOR, dtype=np.int64)
    caps[:, 0, :] = np.where(flat, NO_CAP_MINOR, cap)[:, None]

    # A third takes wallets: in turn both, WeChat Pay alone, Alipay alone.
    wallets = np.where(index == quiet, -1, index % 9)
    pids = _not_a_card_number(2088_0000_0000_000 + 1021 * 10**5 + index * 37 + 1, 15)

    return Population(
        merchant_ids=[f"M{number:06d}" for number in range(1, merchants + 1)],
        names=[
            f"{_CITIES[c][0]}{_BRANDS[b]}{_TRADES[t][0]}{n + 1}号"
            for n, (c, b, t) in enumerate(zip(city.tolist(), brand.tolist(), trade.tolist(), strict=True))
        ],
        cities=[_CITIES[c][0] for c in city.tolist()],
        mccs=mccs,
        mer_ids=mer_ids,
        wechat_mch_ids=[
            f"{1_500_000_000 + n * 7919 + 331}" if family in (2, 5) else None
            for n, family in enumerate(wallets.tolist())
        ],
        alipay_pids=[
            pid if family in (2, 8) else None for pid, family in zip(pids, wallets.tolist(), strict=True)
        ],
        accounts=accounts,
        has_rrn=(index % 3 != 1).astype(np.int64),
        region_b=(index % 10 == 7).astype(np.int64),
        quiet=quiet,
        weights=weights / weights.sum(),
        prices_minor=rng.integers(8, 88, (merchants, 5)) * 100,
        terminal_first=terminal_first,
        terminal_count=terminal_count.astype(np.int64),
        terminal_ids=[f"{10_000_000 + number * 3 + 1}" for number in range(terminals)],
        terminal_merchant=owner,
        terminal_models=[_MODELS[n] for n in rng.integers(0, len(_MODELS), terminals).tolist()],
        terminal_places=[
            _PLACES[n] for n in (np.arange(terminals) - np.repeat(terminal_first, terminal_count)).tolist()
        ],
        stan_start=stan_start.astype(np.int64),
        fee_family=family,
        fee_changes=changes,
        rate_centi_bps=rate,
        cap_minor=caps,
    )


def write_reference(population: Population, folder: Path, *, start: date) -> int:
    """Write merchants.csv, terminals.csv and fee_schedule.csv; returns how many files."""
    folder.mkdir(parents=True, exist_ok=True)
    merchants = len(population.merchant_ids)
    merchant_table = pa.table(
        {
            "merchant_id": population.merchant_ids,
            "name": population.names,
            "city": population.cities,
            "settlement_account": population.accounts,
            "unionpay_mer_id": population.mer_ids,
            "wechat_mch_id": pa.array(population.wechat_mch_ids, pa.string()),
            "alipay_pid": pa.array(population.alipay_pids, pa.string()),
            "currency": ["CNY"] * merchants,
        }
    )
    terminal_table = pa.table(
        {
            "terminal_id": population.terminal_ids,
            "merchant_id": [population.merchant_ids[m] for m in population.terminal_merchant.tolist()],
            "model": population.terminal_models,
            "location": population.terminal_places,
            "installed_on": [FIRST_DAY.isoformat()] * len(population.terminal_ids),
            "removed_on": pa.nulls(len(population.terminal_ids), pa.string()),
        }
    )
    rates = pa.table(
        {
            "n": np.arange(merchants),
            "merchant_id": population.merchant_ids,
            "family": population.fee_family,
            "changes": population.fee_changes,
            "debit_0": population.rate_centi_bps[:, 0, 0],
            "debit_1": population.rate_centi_bps[:, 0, 1],
            "credit": population.rate_centi_bps[:, 1, 0],
            "debit_cap": population.cap_minor[:, 0, 0],
        }
    )
    desks = population.wallet_desks
    wallets = pa.table(
        {
            "n": pa.array([merchant for merchant, _ in desks], pa.int64()),
            "k": pa.array([3 + channel for _, channel in desks], pa.int64()),
            "merchant_id": pa.array(
                [population.merchant_ids[merchant] for merchant, _ in desks], pa.string()
            ),
            "channel": pa.array([channel.name.lower() for _, channel in desks], pa.string()),
            "rate": pa.array([WALLET_RATE_CENTI_BPS[channel] for _, channel in desks], pa.int64()),
        }
    )
    with duckdb.connect() as connection:
        connection.register("wallets", wallets)
        connection.register("merchant_table", merchant_table)
        connection.register("terminal_table", terminal_table)
        connection.register("rates", rates)
        _copy(connection, "select * from merchant_table", folder / "merchants.csv")
        _copy(connection, "select * from terminal_table", folder / "terminals.csv")
        # Families 0-2 name both card types, 3 has one rate for any card, 4 adds one for debit.
        _copy(
            connection,
            f"""
            with rows as (
                select n, 0 as k, merchant_id, 'card' as channel, '*' as card_type, credit as rate, null as cap,
                    '{FIRST_DAY}' as effective_from, null as effective_to
                from rates where family in (3, 4)
                union all
                select n, 1, merchant_id, 'card', 'credit', credit, null, '{FIRST_DAY}', null
                from rates where family < 3
                union all
                select n, 2, merchant_id, 'card', 'debit', debit_0, debit_cap, '{FIRST_DAY}',
                    case when changes = 1 then '{start}' end
                from rates where family <> 3
                union all
                select n, 3, merchant_id, 'card', 'debit', debit_1, debit_cap, '{start + timedelta(days=1)}', null
                from rates where changes = 1
                union all
                select n, k, merchant_id, channel, '*', rate, null, '{FIRST_DAY}', null
                from wallets
            )
            select merchant_id, channel, card_type,
                (rate // 100)::varchar || '.' || lpad((rate % 100)::varchar, 2, '0') as rate_bps,
                cap as cap_minor, effective_from, effective_to
            from rows order by n, k
            """,
            folder / "fee_schedule.csv",
        )
    return 3


def _copy(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    connection.execute(f"copy ({query}) to '{str(path).replace(chr(39), chr(39) * 2)}' (format csv, header)")
