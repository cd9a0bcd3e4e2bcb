"""Time the reader of every layout against DuckDB over the same bytes, and watch its memory.

    python -m tests.benchmarks.readers [--rows N] [--only NAME …] [--folder DIR]

Each file is written once and read three times, each time in a process of its own with two threads: by our reader, by
DuckDB into typed columns written as the same Parquet (the fair rival: both sides read, type and write), and by DuckDB
alone, which reads the fields and writes nothing. What DuckDB does not do: physical line numbers (it writes zeros
there), a reason for each record that cannot be read, masks and tokens of card numbers, control totals. DuckDB cannot
read XML, MT940 and BAI2; there the rival reads bare lines, and the memory is what counts.

The report goes to `bench/readers.md` under POSRECON_HOME. Nothing here fails on a slow machine.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from posrecon.formats import LAYOUTS, Job
from posrecon.formats.settlement import SETTLEMENT_SCHEMA
from posrecon.formats.terminal_csv import EVENT_COLUMNS
from posrecon.formats.unionpay_zm import offsets
from posrecon.landing.sources import NameParts, Source, load_sources
from posrecon.settings import PROJECT_ROOT, Settings
from tests.unit.formats.generic_sources import ALLINPAY, ALLINPAY_HEADER, FIXED, keys_of
from tests.unit.formats.test_alipay_bill import HEADER_27, PID
from tests.unit.formats.test_wechat_bill import ALL, MCH, TOTALS
from tests.unit.landing.files import HEADER as LOG_HEADER
from tests.unit.landing.files import MER_ID

DAY = date(2026, 11, 11)
THREADS = 2
MEMORY_LIMIT = "1500MB"
STREAM_LIMIT_MB = 500
_BATCH = 50_000

# A row of the test data: amount and fee in fen, their texts, and a time of the day.
_BASE = """
    select
        i, 100 + hash(i) % 99900 as fen, (100 + hash(i) % 99900) * 38 // 10000 as fee_fen,
        ((100 + hash(i) % 99900) / 100)::decimal(12, 2)::varchar as amount,
        (((100 + hash(i) % 99900) * 38 // 10000) / 100)::decimal(12, 2)::varchar as fee,
        (((100 + hash(i) % 99900) - (100 + hash(i) % 99900) * 38 // 10000) / 100)::decimal(12, 2)::varchar as net,
        hash(i + 1) % 100 < 3 as is_refund,
        (631500000000 + hash(i + 2) % 99999999)::varchar as rrn,
        lpad((i % 1000000)::varchar, 6, '0') as stan,
        (10000000 + i // 1000)::varchar as terminal_id,
        timestamp '2026-11-11' + to_seconds((i % 82800)::bigint) as moment,
        ['621081', '622588', '625910', '622848'][(1 + hash(i + 3) % 4)::int] || '****'
            || lpad((hash(i + 4) % 10000)::varchar, 4, '0') as card,
        lpad(i::varchar, 18, '0') as number
    from range({rows}) as t(i)
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One layout under test.

    Attributes:
        name: For people.
        source: Name of a source YAML of the project, or the source itself.
        key: Whom the file is about, as its name would say.
        line: SQL of one record as the file has it, of `_BASE`.
        around: (lines before the records, lines after them) from the count and sums of the records.
        typed: DuckDB's query that reads the file into typed columns; `{path}` is the file.
        bare: DuckDB's query that reads the fields and writes nothing.
        share: Records relative to those asked for: wide records are fewer.
        encoding: Of the file.
        end: Of a line.
        streams: The layout is read entry by entry: its memory must not grow with the file.
    """

    name: str
    source: str | Source
    line: str
    around: Callable[[dict[str, int]], tuple[list[str], list[str]]]
    typed: str
    bare: str
    key: str = ""
    share: float = 1.0
    encoding: str = "utf-8"
    end: str = "\n"
    streams: bool = False


@dataclass(frozen=True)
class Measured:
    """Seconds of wall clock and of CPU, and the highest memory of the process."""

    seconds: float
    cpu: float
    peak_mb: int
    records: int


# ------------------------------------------------------------------------------------------------ the layouts


def _money(fen: int) -> str:
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def _settlement(read: str, **columns: str) -> str:
    """DuckDB's query of the same table as our readers write, from the expressions of its filled columns."""
    types = {"string": "varchar", "int64": "bigint", "date32[day]": "date", "timestamp[us]": "timestamp"}
    known = {
        "file_no": "1", "line_no": "0", "acquirer": "'unionpay'", "line_kind": "'transaction'",
        "currency": "'CNY'", "settlement_date": "date '2026-11-11'",
    } | columns  # fmt: skip
    fields = (
        f"({known.get(field.name, 'null')})::{types[str(field.type)]} as {field.name}"
        for field in SETTLEMENT_SCHEMA
    )
    return f"select {', '.join(fields)} from {read}"


def _events(read: str, header: str) -> str:
    """The same of a terminal log."""
    known = {
        "card_masked": "card_no", "amount_minor": "(amount * 100)::bigint", "txn_local": "txn_time",
        "txn_at": "timezone('Asia/Shanghai', txn_time)", "business_date": "txn_time::date",
    }  # fmt: skip
    names = header.split(",")
    fields = (
        f"{known.get(name, name if name in names else 'null::varchar')} as {name}" for name in EVENT_COLUMNS
    )
    return f"select 1::bigint as file_no, 0::bigint as line_no, {', '.join(fields)} from {read}"


def _csv(
    header: str, types: dict[str, str], values: dict[str, str], *, more: str = ""
) -> tuple[str, str, str]:
    """(line, typed query, bare query) of a delimited file from the expressions of its filled columns."""
    names = header.split(",")
    line = " || ',' || ".join(values.get(name, "''") for name in names)
    columns = ", ".join(f"'{name}': '{types.get(name, 'varchar')}'" for name in names)
    read = f"read_csv('{{path}}', header = true, delim = ',', columns = {{{{{columns}}}}}{more})"
    touched = ", ".join(f'count("{name}")' for name in names)
    return line, f"select * from {read}", f"select {touched} from {read}"


def _terminal_csv() -> Case:
    line, typed, bare = _csv(
        LOG_HEADER,
        {"amount": "decimal(18, 2)", "txn_time": "timestamp"},
        {
            "merchant_id": "'M' || lpad((i // 5000)::varchar, 6, '0')", "terminal_id": "terminal_id",
            "batch_no": "'000001'", "stan": "stan", "rrn": "rrn", "auth_code": "stan",
            "txn_type": "case when is_refund then 'refund' else 'sale' end", "channel": "'card'", "card_no": "card",
            "card_type": "case when i % 3 = 0 then 'credit' else 'debit' end", "amount": "amount",
            "currency": "'CNY'", "txn_time": "strftime(moment, '%Y-%m-%dT%H:%M:%S')",
            "response_code": "case when i % 25 = 0 then '51' else '00' end",
            "orig_rrn": "case when is_refund then rrn else '' end",
        },
    )  # fmt: skip
    return Case(
        name="terminal log, CSV", source="terminal_log", line=line, around=lambda _: ([LOG_HEADER], []),
        typed=_events(typed.removeprefix("select * from "), LOG_HEADER), bare=bare,
    )  # fmt: skip


def _terminal_json() -> Case:
    fields = {
        "merchant_id": "'M000001'", "terminal_id": "terminal_id", "batch_no": "'000001'", "stan": "stan",
        "rrn": "rrn", "auth_code": "stan", "txn_type": "case when is_refund then 'refund' else 'sale' end",
        "channel": "'card'", "card_no": "card", "card_type": "'debit'", "amount": "amount", "currency": "'CNY'",
        "txn_time": "strftime(moment, '%Y-%m-%dT%H:%M:%S')", "response_code": "'00'",
    }  # fmt: skip
    line = " || ',' || ".join(f"""'"{name}":"' || {value} || '"'""" for name, value in fields.items())
    types = {"amount": "decimal(18, 2)", "txn_time": "timestamp"}
    columns = ", ".join(f"{name}: '{types.get(name, 'varchar')}'" for name in fields)
    read = f"read_json('{{path}}', format = 'newline_delimited', columns = {{{{{columns}}}}})"
    return Case(
        name="terminal log, JSON lines", source="terminal_log", line=f"'{{{{' || {line} || '}}}}'",
        around=lambda _: ([], []), typed=_events(read, ",".join(fields)),
        bare=f"select {', '.join(f'count({name})' for name in fields)} from {read}",
    )  # fmt: skip


_ONE_COLUMN = (
    "read_csv('{path}', header = false, delim = '\x01', quote = '', escape = '', "
    "columns = {{'line': 'varchar'}})"
)


def _zm() -> Case:
    values = {
        "txn_code": "case when is_refund then 'S30' else 'S22' end", "acq_ins_code": "'00012345678'",
        "fwd_ins_code": "'00012345678'", "stan": "stan", "txn_time": "strftime(moment, '%m%d%H%M%S')", "card": "card",
        "amount": "lpad(fen::varchar, 12, '0')", "mcc": "'5411'", "query_id": "'202' || number",
        "order_id": "number", "card_type": "case when i % 3 = 0 then '02' else '01' end",
        "fee": "case when is_refund then 'C' else 'D' end || lpad(fee_fen::varchar, 12, '0')",
        "settled": "case when is_refund then 'D' else 'C' end || lpad((fen - fee_fen)::varchar, 12, '0')",
        "mer_id": f"'{MER_ID}'", "term_id": "terminal_id", "rrn": "rrn",
    }  # fmt: skip
    pieces, at = [], 0
    for name, (start, stop) in sorted(offsets().items(), key=lambda item: item[1]):
        if name in values:
            pieces += [f"repeat(' ', {start - at})", f"rpad({values[name]}, {stop - start}, ' ')"]
            at = stop
    pieces.append(f"repeat(' ', {607 - at})")
    cut = {name: f"substr(line, {start + 1}, {stop - start})" for name, (start, stop) in offsets().items()}
    texts = {
        "acquirer_merchant_id": "mer_id", "terminal_id": "term_id", "stan": "stan", "rrn": "rrn",
        "acquirer_txn_no": "query_id", "orig_acquirer_txn_no": "orig_query_id", "merchant_order_no": "order_id",
        "txn_code": "txn_code", "card_masked": "card", "card_type": "card_type", "orig_stan": "orig_stan",
    }  # fmt: skip
    sign = "case when substr({}, 1, 1) = 'D' then -1 else 1 end * substr({}, 2)::bigint"
    columns = {name: f"nullif(trim({cut[field]}), '')" for name, field in texts.items()} | {
        "gross_minor": f"{cut['amount']}::bigint",
        "fee_minor": sign.format(cut["fee"], cut["fee"]),
        "net_minor": sign.format(cut["settled"], cut["settled"]),
        "txn_local": f"strptime('2026' || {cut['txn_time']}, '%Y%m%d%H%M%S')",
        "txn_type": f"case when {cut['txn_code']} = 'S30' then 'refund' else 'sale' end",
    }
    return Case(
        name="UnionPay ZM, fixed 607 bytes", source="unionpay_zm", key=MER_ID, line=" || ".join(pieces), end="\r\n",
        around=lambda _: ([], []), share=0.2, encoding="gbk",
        typed=_settlement(_ONE_COLUMN, **columns),
        bare=f"select count(line) from {_ONE_COLUMN}",
    )  # fmt: skip


def _generic_delimited(encoding: str) -> Case:
    keys = keys_of(ALLINPAY) | {"encoding": encoding, "layout": "generic_delimited"}
    line, typed, bare = _csv(
        ALLINPAY_HEADER,
        {
            "交易金额": "decimal(18, 2)", "手续费": "decimal(18, 2)", "结算金额": "decimal(18, 2)", "交易日期": "date",
            "交易时间": "time",
        },
        {
            "商户号": f"'{MER_ID}'", "门店名称": "'面馆'", "终端号": "terminal_id",
            "交易时间": "strftime(moment, '%H:%M:%S')", "交易类型": "case when is_refund then '退货' else '消费' end",
            "交易批次号": "'000001'", "凭证号": "stan", "参考号": "rrn", "卡号": "card",
            "卡类别": "case when i % 3 = 0 then '贷记卡' else '借记卡' end", "发卡行机构代码": "'01020000'",
            "发卡行名称": "'工商银行'", "交易金额": "amount", "手续费": "fee", "交易日期": "'2026-11-11'",
            "交易单号": "number", "订单号": "number", "结算金额": "net", "原始金额": "amount", "产品类型": "'POS'",
            "持卡人姓名": "'张三'", "交易完成日期": "'2026-11-11'",
        },
    )  # fmt: skip
    sign = "case when 交易类型 = '退货' then -1 else 1 end * ({} * 100)::bigint"
    columns = {
        "acquirer_merchant_id": "商户号", "terminal_id": "终端号", "stan": "凭证号", "rrn": "参考号",
        "acquirer_txn_no": "交易单号", "orig_acquirer_txn_no": "原交易单", "merchant_order_no": "订单号",
        "txn_code": "交易类型", "txn_type": "case when 交易类型 = '退货' then 'refund' else 'sale' end",
        "txn_local": "交易日期 + 交易时间", "card_masked": "卡号",
        "card_type": "case 卡类别 when '借记卡' then 'debit' else 'credit' end", "gross_minor": sign.format("交易金额"),
        "fee_minor": sign.format("手续费"), "net_minor": sign.format("结算金额"),
    }  # fmt: skip
    # The line of totals has fewer fields: DuckDB leaves it out.
    lenient = "columns", "null_padding = false, ignore_errors = true, columns"

    def around(sums: dict[str, int]) -> tuple[list[str], list[str]]:
        moneys = ",".join(_money(sums[name]) for name in ("gross", "fee", "net"))
        return [ALLINPAY_HEADER], [f"合计,{sums['count']},{moneys}"]

    return Case(
        name=f"any table, delimited, 34 columns ({encoding})", source=Source.model_validate(keys), key=MER_ID,
        line=line, around=around, encoding=encoding,
        typed=_settlement(typed.removeprefix("select * from "), **columns).replace(*lenient),
        bare=bare.replace(*lenient),
    )  # fmt: skip


def _generic_fixed() -> Case:
    keys = keys_of(FIXED.replace(r"\d{6}", r"\d{9}")) | {"layout": "generic_fixed"}
    line = (
        f"'{MER_ID}' || 'SHOP000001' || terminal_id || rrn || case when is_refund then 'D' else 'C' end || "
        "lpad(fen::varchar, 8, '0') || lpad(fee_fen::varchar, 8, '0') || lpad((fen - fee_fen)::varchar, 8, '0')"
    )
    record = _ONE_COLUMN.replace("header = false", "header = false, ignore_errors = true")
    sign = "case when substr(line, 46, 1) = 'D' then -1 else 1 end * substr(line, {}, 8)::bigint"
    columns = {
        "acquirer_merchant_id": "trim(substr(line, 1, 15))", "terminal_id": "substr(line, 26, 8)",
        "rrn": "substr(line, 34, 12)", "gross_minor": sign.format(47), "fee_minor": sign.format(55),
        "net_minor": sign.format(63),
        "txn_type": "case when substr(line, 46, 1) = 'D' then 'refund' else 'sale' end",
    }  # fmt: skip
    return Case(
        name="any table, fixed 70 bytes", source=Source.model_validate(keys), line=line,
        around=lambda sums: (["H20261111"], [f"T{sums['count']:09d}{sums['net']}"]), encoding="gbk", end="\r\n",
        typed=_settlement(f"(select * from {record} where length(line) = 70)", **columns),
        bare=f"select count(line) from {record}",
    )  # fmt: skip


def _wechat() -> Case:
    ticked = {
        "交易时间": "strftime(moment, '%Y-%m-%d %H:%M:%S')", "公众账号ID": "'wx2f1c7a90e4b35d68'", "商户号": f"'{MCH}'",
        "特约商户号": "'0'", "设备号": "terminal_id", "微信订单号": "'4200001261' || number",
        "商户订单号": "'S' || number",
        "用户标识": "'oUpF8u29595693'", "交易类型": "'MICROPAY'", "交易状态": "'SUCCESS'", "付款银行": "'OTHERS'",
        "货币种类": "'CNY'", "应结订单金额": "amount", "代金券金额": "'0.00'", "微信退款单号": "'0'",
        "商户退款单号": "'0'", "退款金额": "'0.00'", "充值券退款金额": "'0.00'", "商品名称": "'门店消费'",
        "手续费": "fee || '000'",
        "费率": "'0.38%'", "订单金额": "amount", "申请退款金额": "'0.00'",
    }  # fmt: skip
    line, typed, bare = _csv(
        ALL, {}, {name: f"'`' || {ticked.get(name, chr(39) * 2)}" for name in ALL.split(",")}
    )
    lenient = "columns", "null_padding = false, ignore_errors = true, columns"
    texts = {
        "acquirer_merchant_id": "商户号", "terminal_id": "设备号", "acquirer_txn_no": "微信订单号",
        "merchant_order_no": "商户订单号", "txn_code": "交易状态", "currency": "货币种类",
    }  # fmt: skip
    columns = {name: f"substr({field}, 2)" for name, field in texts.items()} | {
        "gross_minor": "(try_cast(substr(应结订单金额, 2) as decimal(18, 5)) * 100)::bigint",
        "fee_minor": "(try_cast(substr(手续费, 2) as decimal(18, 5)) * 100)::bigint",
        "net_minor": "(try_cast(substr(退款金额, 2) as decimal(18, 5)) * 100)::bigint",
        "txn_local": "try_cast(substr(交易时间, 2) as timestamp)",
        "txn_type": "case 交易状态 when '`SUCCESS' then 'sale' else 'refund' end",
    }

    def around(sums: dict[str, int]) -> tuple[list[str], list[str]]:
        total = [str(sums["count"]), _money(sums["all"]), "0.00", "0.00", f"{_money(sums['all_fee'])}000"]
        return ["\ufeff" + ALL], [
            TOTALS,
            ",".join(f"`{each}" for each in (*total, _money(sums["all"]), "0.00")),
        ]

    return Case(
        name="WeChat Pay bill, 27 columns", source="wechat_bill", key=MCH, line=line, around=around, end="\r\n",
        typed=_settlement(typed.removeprefix("select * from "), **columns).replace(*lenient),
        bare=bare.replace(*lenient), share=0.5,
    )  # fmt: skip


def _alipay() -> Case:
    values = {
        "支付宝交易号": "'2026111122' || number", "商户订单号": "'S' || number", "业务类型": "'交易'",
        "商品名称": "'面'",
        "创建时间": "strftime(moment, '%Y-%m-%d %H:%M:%S')", "完成时间": "strftime(moment, '%Y-%m-%d %H:%M:%S')",
        "终端号": "terminal_id", "对方账户": "'客***'", "订单金额（元）": "amount", "商家实收（元）": "amount",
        "商家优惠（元）": "'0.00'", "服务费（元）": "'-' || fee", "分润（元）": "'0.00'", "实收净额（元）": "net",
    }  # fmt: skip
    padded = {name: f"{values.get(name, chr(39) * 2)} || chr(9)" for name in HEADER_27.split(",")}
    line, typed, bare = _csv(HEADER_27, {}, padded)
    before = [
        "#支付宝业务明细查询",
        f"#账号：[{PID}0156]",
        "#起始日期：[2026年11月11日 00:00:00]   终止日期：[2026年11月12日 00:00:00]",
        "#-----------------------------------------业务明细列表----------------------------------------",
        HEADER_27,
    ]
    lenient = "columns", "skip = 4, null_padding = false, ignore_errors = true, columns"
    texts = {
        "acquirer_txn_no": "支付宝交易号", "merchant_order_no": "商户订单号", "txn_code": "业务类型",
        "terminal_id": "终端号",
    }  # fmt: skip
    moneys = {"gross_minor": "商家实收（元）", "fee_minor": "服务费（元）", "net_minor": "实收净额（元）"}
    columns = (
        {name: f"rtrim({field}, chr(9))" for name, field in texts.items()}
        | {
            name: f"""(try_cast(rtrim("{field}", chr(9)) as decimal(18, 2)) * 100)::bigint"""
            for name, field in moneys.items()
        }
        | {
            "acquirer_merchant_id": f"'{PID}'",
            "txn_local": "try_cast(rtrim(完成时间, chr(9)) as timestamp)",
            "txn_type": "case when starts_with(业务类型, '交易') then 'sale' else 'refund' end",
        }
    )

    def around(sums: dict[str, int]) -> tuple[list[str], list[str]]:
        return before, [
            "#-----------------------------------------业务明细列表结束------------------------------------",
            f"#交易合计：{sums['count']}笔，商家实收共{_money(sums['all'])}元，商家优惠共0.00元",
            "#退款合计：0笔，商家实收退款共0.00元，商家优惠退款共0.00元",
        ]

    return Case(
        name="Alipay bill, 27 columns (UTF-8)", source="alipay_bill", key=PID, line=line, around=around, end="\r\n",
        typed=_settlement(typed.removeprefix("select * from "), **columns).replace(*lenient),
        bare=bare.replace(*lenient), share=0.5,
    )  # fmt: skip


def _mt940() -> Case:
    line = (
        "':61:2611111111C' || replace(amount, '.', ',') || 'NTRFREF' || number || '//B' || number || chr(13) || "
        f"chr(10) || ':86:UNIONPAY {MER_ID} SETTLEMENT OF ' || number"
    )

    def around(sums: dict[str, int]) -> tuple[list[str], list[str]]:
        closing = _money(100_00 + sums["all"]).replace(".", ",")
        before = [":20:REF", ":25:310500161836", ":28C:1", ":60F:C261110CNY100,00"]
        return before, [f":62F:C261111CNY{closing}", "-"]

    return Case(
        name="MT940", source="bank_mt940", key="310500161836", line=line, around=around, end="\r\n", streams=True,
        typed=f"select line from {_ONE_COLUMN}", bare=f"select count(line) from {_ONE_COLUMN}", share=0.2,
    )  # fmt: skip


def _camt() -> Case:
    line = (
        "'<Ntry><NtryRef>' || number || '</NtryRef><Amt Ccy=\"CNY\">' || amount || '</Amt><CdtDbtInd>CRDT</CdtDbtInd>"
        "<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-11-11</Dt></BookgDt><ValDt><Dt>2026-11-11</Dt></ValDt>"
        "<AcctSvcrRef>B' || number || '</AcctSvcrRef><NtryDtls><TxDtls><Refs><EndToEndId>' || number || '</EndToEndId>"
        f"</Refs><RmtInf><Ustrd>UNIONPAY {MER_ID} SETTLEMENT OF ' || number || '</Ustrd></RmtInf></TxDtls></NtryDtls>"
        "</Ntry>'"
    )

    def balance(code: str, fen: int, day: str) -> str:
        return (
            f'<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy="CNY">{_money(fen)}</Amt>'
            f"<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal>"
        )

    def around(sums: dict[str, int]) -> tuple[list[str], list[str]]:
        return [
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt><Id>S1</Id>',
            "<Acct><Id><Othr><Id>310500161836</Id></Othr></Id></Acct>",
            balance("OPBD", 100_00, "2026-11-10") + balance("CLBD", 100_00 + sums["all"], "2026-11-11"),
        ], ["</Stmt></BkToCstmrStmt></Document>"]

    return Case(
        name="camt.053, XML", source="bank_camt", key="310500161836", line=line, around=around, streams=True,
        typed=f"select line from {_ONE_COLUMN}", bare=f"select count(line) from {_ONE_COLUMN}", share=0.2,
    )  # fmt: skip


def _bai2() -> Case:
    line = (
        f"'16,142,' || fen || ',Z,REF' || number || ',B' || number || ',UNIONPAY {MER_ID} ' || number || '/'"
    )

    def around(sums: dict[str, int]) -> tuple[list[str], list[str]]:
        closing = 10000 + sums["all"]
        total = 10000 + closing + sums["all"]
        before = [
            "01,BANK,US,261111,0600,1,,,2/", "02,US,BANK,1,261111,,USD,2/",
            f"03,310500161836,USD,010,10000,,,015,{closing},,/",
        ]  # fmt: skip
        count = sums["count"]
        return before, [
            f"49,{total},{count + 2}/",
            f"98,{total},1,{count + 4}/",
            f"99,{total},1,{count + 6}/",
        ]

    return Case(
        name="BAI2", source="bank_bai2", key="310500161836", line=line, around=around, streams=True,
        typed=f"select line from {_ONE_COLUMN}", bare=f"select count(line) from {_ONE_COLUMN}", share=0.2,
    )  # fmt: skip


def cases() -> dict[str, Case]:
    """Every layout, by a short name."""
    return {
        "terminal_csv": _terminal_csv(),
        "terminal_json": _terminal_json(),
        "zm": _zm(),
        "delimited": _generic_delimited("utf-8"),
        "delimited_gbk": _generic_delimited("gb18030"),
        "fixed": _generic_fixed(),
        "wechat": _wechat(),
        "alipay": _alipay(),
        "mt940": _mt940(),
        "camt": _camt(),
        "bai2": _bai2(),
    }


# ------------------------------------------------------------------------------------------------ files


def write_file(case: Case, rows: int, path: Path) -> None:
    """Write the file of a layout with so many records; the same bytes each time."""
    base = _BASE.replace("{rows}", str(rows))
    # One thread and no sort: the rows come in their order, and are not held together in memory.
    with duckdb.connect(config={"threads": 1, "memory_limit": MEMORY_LIMIT}) as connection:
        count, gross, fee, net, total, total_fee = (
            connection.execute(
                f"""
            with base as ({base}), signed as (select *, case when is_refund then -1 else 1 end as sign from base)
            select count(*), sum(sign * fen::bigint), sum(sign * fee_fen::bigint),
                sum(sign * (fen - fee_fen)::bigint), sum(fen::bigint), sum(fee_fen::bigint)
            from signed
            """
            ).fetchone()
            or (0,) * 6
        )
        sums = {"count": count, "gross": gross, "fee": fee, "net": net, "all": total, "all_fee": total_fee}
        before, after = case.around({name: int(value) for name, value in sums.items()})
        line = case.line.replace("{{", "{").replace("}}", "}")
        batches = connection.execute(f"with base as ({base}) select {line} from base").to_arrow_reader(_BATCH)
        with path.open("wb") as file:
            file.writelines(f"{each}{case.end}".encode(case.encoding) for each in before)
            for batch in batches:
                text = case.end.join(batch.column(0).to_pylist()) + case.end
                file.write(text.encode(case.encoding))
            file.writelines(f"{each}{case.end}".encode(case.encoding) for each in after)


# ------------------------------------------------------------------------------------------------ measuring


def _measure(name: str, how: str, path: Path, folder: Path) -> Measured | None:
    """Run one reader in a process of its own; None when DuckDB cannot read the file."""
    environment = os.environ | {
        "POSRECON_HOME": str(folder / "home"), "PYTHONPATH": str(PROJECT_ROOT / "include"),
        "POSRECON_THREADS": str(THREADS), "POSRECON_MEMORY_LIMIT": MEMORY_LIMIT,
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.benchmarks.readers", "--measure", name, how, str(path)]
    done = subprocess.run(
        command, env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        return None
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def _read(name: str, how: str, path: Path) -> int:
    """Read a file as asked, in this process; the number of records."""
    case = cases()[name]
    settings = Settings()
    scratch = settings.tmp / "bench"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    if how == "ours":
        source = (
            case.source
            if isinstance(case.source, Source)
            else next(each for each in load_sources(settings.sources_dir) if each.name == case.source)
        )
        parsed = LAYOUTS[source.layout].parse(
            Job(
                path=path,
                file_name=path.name,
                file_no=1,
                source=source,
                scratch=scratch,
                settings=settings,
                name=NameParts(business_date=DAY, key=case.key, part=""),
            )
        )
        if parsed.quarantined:
            raise ValueError(f"{name}: {parsed.quarantined} records of the benchmark's own file were refused")
        return parsed.records
    with duckdb.connect(config={"threads": THREADS, "memory_limit": MEMORY_LIMIT}) as connection:
        connection.execute("set enable_progress_bar = false")
        if how == "bare":
            row = connection.execute(case.bare.format(path=path)).fetchone()
        else:
            out = scratch / "rival.parquet"
            row = connection.execute(
                f"copy ({case.typed.format(path=path)}) to '{out}' (format parquet, compression zstd)"
            ).fetchone()
    return int(row[0]) if row else 0


def _child(name: str, how: str, path: Path) -> None:
    load_sources(Settings().sources_dir)  # once per process, whatever it reads
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    records = _read(name, how, path)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # Not ru_maxrss: that of the process which started this one is counted in it.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mb": peak_kb // 1000, "records": records}))


# ------------------------------------------------------------------------------------------------ the report


def _rows(asked: argparse.Namespace) -> Iterator[str]:
    for name, case in cases().items():
        if asked.only and name not in asked.only:
            continue
        path = asked.folder / f"{name}.data"
        write_file(case, int(asked.rows * case.share), path)
        size = path.stat().st_size / 1e6
        measured = {how: _measure(name, how, path, asked.folder) for how in ("bare", "typed", "ours")}
        path.unlink()
        ours, typed, bare = measured["ours"], measured["typed"], measured["bare"]
        if ours is None:
            raise SystemExit(f"{name}: our own reader failed")
        if any(rival and rival.records < ours.records for rival in (typed, bare)):
            # DuckDB left records out: lines of an encoding that it cannot read, for one.
            typed = bare = None
        cells = [
            case.name, f"{ours.records:,}", f"{size:,.0f}", f"{ours.seconds:.2f}", f"{ours.cpu:.2f}",
            f"{size / ours.seconds:,.0f}", f"{ours.records / ours.seconds:,.0f}",
        ]  # fmt: skip
        for rival in (typed, bare):
            cells += (
                [f"{rival.seconds:.2f}", f"{rival.cpu:.2f}", f"{ours.cpu / max(rival.cpu, 0.01):.1f}"]
                if rival is not None
                else ["–"] * 3
            )
        kept = "" if not case.streams else " (kept)" if ours.peak_mb <= STREAM_LIMIT_MB else " (NOT KEPT)"
        yield f"| {' | '.join(cells)} | {ours.peak_mb:,}{kept} |"


def main() -> int:
    """Run the benchmark and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="Records of the narrow layouts.")
    parser.add_argument("--only", nargs="*", default=[], choices=cases())
    parser.add_argument("--folder", type=Path, default=Settings().home / "bench")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        _child(asked.measure[0], asked.measure[1], Path(asked.measure[2]))
        return 0
    asked.folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Every layout, measured",
        "",
        f"{os.cpu_count()} cores, {THREADS} threads, Python {sys.version.split()[0]}, DuckDB {duckdb.__version__}. "
        "Seconds are wall clock, CPU is over all threads; ratios are of CPU. Typed: DuckDB reads the same bytes into "
        "typed columns and writes them as zstd Parquet, as our reader does. Bare: DuckDB reads the fields and writes "
        f"nothing. Entry by entry layouts must stay at {STREAM_LIMIT_MB} MB.",
        "",
        "| layout | records | MB | s | CPU s | MB/s | records/s | typed, s | CPU s | ratio | bare, s | CPU s | ratio "
        "| peak MB |",
        f"|---|{'---:|' * 13}",
    ]
    print("\n".join(lines), flush=True)
    for row in _rows(asked):
        print(row, flush=True)
        lines.append(row)
    report = asked.folder / "readers.md"
    report.write_text("\n".join([*lines, ""]), encoding="utf-8")
    print(f"Written to {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
