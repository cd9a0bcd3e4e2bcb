"""Banking days of mainland China, with make-up workdays, from the chinesecalendar library."""

from datetime import date, timedelta
from functools import lru_cache

import chinese_calendar
import pyarrow as pa
from chinese_calendar.constants import holidays, workdays

FIRST_DATE = date(2004, 1, 1)
LAST_DATE = date(2035, 12, 31)

_KNOWN_YEARS = frozenset(day.year for day in (*holidays, *workdays))


def is_banking_day(day: date) -> bool:
    """True when banks settle on `day`.

    Years whose holidays the State Council has not published yet fall back to Monday to Friday;
    `calendar_table` marks them as provisional.
    """
    if day.year in _KNOWN_YEARS:
        return bool(chinese_calendar.is_workday(day))
    return day.weekday() < 5


@lru_cache(maxsize=1)
def calendar_table() -> pa.Table:
    """The whole calendar, one row per date from 2004 to 2035.

    Returns:
        Columns `calendar_date` (date), `is_banking_day` (bool), `banking_day_no` (int: how many banking days
        lie in the calendar up to and including the date, so that date + n banking days is a look-up) and
        `is_provisional` (bool: the year's holidays are not published yet).
    """
    days = [FIRST_DATE + timedelta(days=n) for n in range((LAST_DATE - FIRST_DATE).days + 1)]
    banking = [is_banking_day(day) for day in days]
    numbers: list[int] = []
    count = 0
    for flag in banking:
        count += flag
        numbers.append(count)
    return pa.table(
        {
            "calendar_date": pa.array(days, pa.date32()),
            "is_banking_day": pa.array(banking, pa.bool_()),
            "banking_day_no": pa.array(numbers, pa.int64()),
            "is_provisional": pa.array([day.year not in _KNOWN_YEARS for day in days], pa.bool_()),
        }
    )


def add_banking_days(day: date, n: int) -> date:
    """`day` + n banking days (n ≥ 0); a day that is no banking day counts from the one before it.

    2018-04-04 + 1 is 2018-04-08: Qingming is a holiday and that Sunday is a make-up workday.
    """
    while n > 0:
        day += timedelta(days=1)
        n -= is_banking_day(day)
    return day
