"""SQLAlchemy: reflection, the unit of work, and the core's statements of everyday code.

With LIVE_STATEMENTS set, every statement is also written to that file, as SQLAlchemy sent it.
"""

import datetime
import decimal
import os

import sqlalchemy as sa
from common import DATABASE, HOST, PASSWORD, PORT, USER, plain, say
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql as pg


class Base(orm.DeclarativeBase):
    pass


tagged = sa.Table(
    "alchemy_tagged",
    Base.metadata,
    sa.Column("item_id", sa.ForeignKey("alchemy_item.id", ondelete="cascade"), primary_key=True),
    sa.Column("tag_id", sa.ForeignKey("alchemy_tag.id"), primary_key=True),
)


class Customer(Base):
    __tablename__ = "alchemy_customer"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(80), index=True)
    email: orm.Mapped[str] = orm.mapped_column(unique=True)
    data: orm.Mapped[dict] = orm.mapped_column(pg.JSONB, default=dict)
    words: orm.Mapped[list] = orm.mapped_column(pg.ARRAY(sa.Text), default=list)
    made: orm.Mapped[datetime.datetime] = orm.mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())
    version: orm.Mapped[int] = orm.mapped_column(default=1)
    orders: orm.Mapped[list["Item"]] = orm.relationship(back_populates="customer", cascade="all, delete-orphan")
    __mapper_args__ = {"version_id_col": version}


class Item(Base):
    __tablename__ = "alchemy_item"
    id: orm.Mapped[int] = orm.mapped_column(sa.Identity(), primary_key=True)
    customer_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("alchemy_customer.id"))
    price: orm.Mapped[decimal.Decimal] = orm.mapped_column(sa.Numeric(8, 2))
    state: orm.Mapped[str] = orm.mapped_column(sa.Enum("new", "paid", name="alchemy_state"), default="new")
    customer: orm.Mapped[Customer] = orm.relationship(back_populates="orders")
    tags: orm.Mapped[list["Tag"]] = orm.relationship(secondary=tagged)


class Tag(Base):
    __tablename__ = "alchemy_tag"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    label: orm.Mapped[str] = orm.mapped_column(unique=True)


engine = sa.create_engine(
    sa.URL.create("postgresql+psycopg", USER, PASSWORD, HOST, PORT, DATABASE), connect_args={"sslmode": "prefer"}
)
path = os.environ.get("LIVE_STATEMENTS")
if path:
    out = open(path, "w", encoding="utf-8")

    @sa.event.listens_for(engine, "before_cursor_execute")
    def note(conn, cursor, statement, parameters, context, executemany):
        out.write(" ".join(statement.split()) + "\n")
        out.flush()


def work(session, results):
    session.add_all(
        [
            Customer(name=f"Customer {n}", email=f"c{n}@mail.example", data={"n": n}, words=["a", str(n)], orders=[Item(price=n), Item(price=n + 1)])
            for n in range(10)
        ]
    )
    session.commit()
    first = session.scalars(sa.select(Customer).order_by(Customer.id)).first()
    first.name = "First"
    first.orders[0].tags.extend([Tag(label="one"), Tag(label="two")])
    session.commit()
    first.orders.pop()
    session.commit()
    results["joined"] = plain(
        [
            [c.name, len(c.orders)]
            for c in session.scalars(sa.select(Customer).options(orm.joinedload(Customer.orders)).order_by(Customer.id)).unique().all()[:3]
        ]
    )
    loaded = session.scalars(sa.select(Customer).options(orm.selectinload(Customer.orders).selectinload(Item.tags)).order_by(Customer.id)).all()
    results["selectin"] = [len(c.orders) for c in loaded]
    results["get"] = session.get(Customer, first.id).name
    results["count"] = session.scalar(sa.select(sa.func.count()).select_from(Customer).where(Customer.words.contains(["a"])))
    results["json"] = session.scalar(sa.select(sa.func.count()).where(Customer.data["n"].as_integer() > 3))
    total = sa.select(Item.customer_id, sa.func.sum(Item.price).label("total")).group_by(Item.customer_id).cte("total")
    rows = session.execute(sa.select(Customer.name, total.c.total).join(total, total.c.customer_id == Customer.id).order_by(Customer.id).limit(3))
    results["cte"] = plain([list(row) for row in rows])
    place = sa.func.row_number().over(partition_by=Item.state, order_by=Item.price.desc())
    results["window"] = len(session.execute(sa.select(Item.id, place)).all())
    results["exists"] = session.scalar(sa.select(sa.exists().where(Item.price > 5)))
    results["lateral"] = len(session.execute(sa.select(Customer.id, sa.select(Item.price).where(Item.customer_id == Customer.id).limit(1).lateral("x").c.price)).all())
    session.execute(sa.update(Item).where(Item.price > 3).values(state="paid", price=Item.price + 1))
    session.execute(sa.update(Customer).where(Customer.id == first.id).values(name=sa.bindparam("new")), {"new": "x"}, execution_options={"synchronize_session": False})
    session.execute(sa.delete(Item).where(Item.customer_id.in_(sa.select(Customer.id).where(Customer.email == "c9@mail.example"))))
    upsert = pg.insert(Tag).values([{"label": "one"}, {"label": "three"}])
    session.execute(upsert.on_conflict_do_update(index_elements=["label"], set_={"label": upsert.excluded.label}))
    session.execute(pg.insert(Tag).values(label="two").on_conflict_do_nothing())
    results["returning"] = len(session.scalars(sa.insert(Tag).returning(Tag.id), [{"label": f"t{n}"} for n in range(4)]).all())
    session.commit()
    session.scalars(sa.select(Customer).where(Customer.id == first.id).with_for_update(of=Customer, nowait=True)).one()
    with session.begin_nested():
        session.execute(sa.text("select :n"), {"n": 1})
    session.rollback()
    moved = sa.delete(Tag).where(Tag.label.like("t_")).returning(Tag.id).cte("gone")
    results["moved"] = len(session.execute(sa.select(moved.c.id)).all())
    session.commit()
    session.delete(session.get(Customer, first.id))
    session.commit()
    results["streamed"] = sum(1 for _ in session.scalars(sa.select(Item).execution_options(yield_per=5)))


def reflect(results):
    inspector = sa.inspect(engine)
    results["tables"] = [name for name in inspector.get_table_names() if name.startswith("alchemy")]
    for table in results["tables"]:
        inspector.get_columns(table)
        inspector.get_foreign_keys(table)
        inspector.get_indexes(table)
        inspector.get_pk_constraint(table)
        inspector.get_unique_constraints(table)
        inspector.get_check_constraints(table)
        inspector.get_table_comment(table)
    results["enums"] = [one["name"] for one in inspector.get_enums()]
    inspector.get_view_names()
    inspector.get_sequence_names()
    inspector.get_schema_names()
    metadata = sa.MetaData()
    metadata.reflect(engine, only=results["tables"])
    results["reflected"] = sorted(metadata.tables)


results = {}
Base.metadata.drop_all(engine)
Base.metadata.create_all(engine)
with orm.Session(engine) as session:
    work(session, results)
reflect(results)
Base.metadata.drop_all(engine)
say(results)
