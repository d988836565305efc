-- The sample databases of the demo, the live tests and the benchmark. Every row is made up; nobody in it exists.
-- Run by psql as the private server's superuser, with -v ro_password= and -v rw_password=.
\set ON_ERROR_STOP on
set client_min_messages = warning;

create role gateway_ro login password :'ro_password';
create role gateway_rw login password :'rw_password';
create database logs;
create database ledger;

\connect logs
create table public.events (
    event_id bigint primary key,
    at       timestamptz not null,
    service  text not null,
    level    text not null,
    message  text not null
);
insert into public.events
select n,
       timestamptz '2026-05-04 08:00:00+00' + n * interval '7 seconds',
       (array['checkout', 'search', 'payments', 'edge', 'mailer'])[1 + n % 5],
       (array['info', 'info', 'info', 'warn', 'error'])[1 + (n * 7) % 5],
       'request ' || n || ' took ' || (n * 37) % 900 || ' ms'
from generate_series(1, 20000) as n;

create table public.logins (
    login_id  bigint primary key,
    at        timestamptz not null,
    email     text not null,
    full_name text not null,
    succeeded boolean not null
);
insert into public.logins
select n,
       timestamptz '2026-05-04 08:00:00+00' + n * interval '31 seconds',
       'person' || n || '@mail.example',
       (array['Ada', 'Grace', 'Edsger', 'Barbara', 'Tony'])[1 + n % 5] || ' Example ' || n,
       n % 11 <> 0
from generate_series(1, 2000) as n;
grant select on all tables in schema public to gateway_ro;

\connect ledger
create table public.customers (
    customer_id bigint primary key,
    full_name   text not null,
    email       text not null,
    country     text not null,
    created_at  timestamptz not null
);
insert into public.customers
select n,
       (array['Ada', 'Grace', 'Edsger', 'Barbara', 'Tony'])[1 + n % 5] || ' Sample ' || n,
       'customer' || n || '@mail.example',
       (array['DE', 'FR', 'PL', 'NL', 'ES'])[1 + n % 5],
       timestamptz '2025-01-01 00:00:00+00' + n * interval '3 hours'
from generate_series(1, 1000) as n;

create table public.cards (
    card_id     bigint primary key,
    customer_id bigint not null references public.customers,
    pan         text not null,
    brand       text not null,
    expires_on  date not null
);
insert into public.cards
select n, n, '4000' || lpad(((n * 7919) % 1000000000000)::text, 12, '0'), 'sample', date '2030-01-01' + n::int
from generate_series(1, 1000) as n;

create table public.ledger_entries (
    entry_id     bigint primary key,
    customer_id  bigint not null,
    amount_cents bigint not null,
    currency     text not null,
    booked_at    timestamptz not null,
    note         text
);
insert into public.ledger_entries
select n, 1 + n % 1000, (n * 7919) % 100000 - 20000, 'EUR',
       timestamptz '2026-01-01 00:00:00+00' + n * interval '11 minutes',
       case when n % 4 = 0 then null else 'invoice ' || n end
from generate_series(1, 20000) as n;

create table public.audit_access (
    audit_id bigint primary key,
    actor    text not null,
    action   text not null,
    at       timestamptz not null
);
insert into public.audit_access
select n, 'clerk' || n % 9, 'read', timestamptz '2026-02-01 00:00:00+00' + n * interval '1 hour'
from generate_series(1, 200) as n;

-- What the driver tests write to.
create table public.scratch (
    id    bigint primary key,
    label text,
    at    timestamptz,
    bytes bytea
);

create schema ops;
create table ops.settings (key text primary key, value text not null);
insert into ops.settings values ('retention', '90 days');

grant usage on schema public, ops to gateway_rw;
grant select, insert, update, delete, truncate on all tables in schema public, ops to gateway_rw;

\connect postgres
create database ledger_staging template ledger;
create database ledger_dev template ledger;
grant create on database ledger_dev to gateway_rw;
\connect ledger_dev
grant create on schema public to gateway_rw;
\connect ledger_staging
grant create on schema public to gateway_rw;
