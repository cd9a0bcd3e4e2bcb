{# Who settles what, where no list says otherwise: a channel has a usual acquirer, and an acquirer a channel. #}

{# The usual acquirer of a channel: cards clear at UnionPay, a wallet at itself. #}
{% macro usual_acquirer(channel) -%}
    case {{ channel }} when 'card' then 'unionpay' else {{ channel }} end
{%- endmacro %}

{# The channel of an acquirer's lines and payouts where its files do not say it: a wallet's is its own, all others
   settle cards. #}
{% macro channel_of_acquirer(acquirer) -%}
    case when {{ acquirer }} in ('wechat', 'alipay') then {{ acquirer }} when {{ acquirer }} is not null then 'card' end
{%- endmacro %}
