"""Django: migrations of its own applications and of one with relations, and the queries that its ORM makes of everyday code.

With LIVE_STATEMENTS set, every statement is also written to that file, as Django sent it.
"""

import datetime
import os
import sys
import types
import warnings

import django
from common import DATABASE, HOST, PASSWORD, PORT, USER, plain, say
from django.conf import settings

warnings.simplefilter("ignore")
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "shop"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": DATABASE,
            "USER": USER,
            "PASSWORD": PASSWORD,
            "HOST": HOST,
            "PORT": PORT,
            "OPTIONS": {"sslmode": "prefer"},
        }
    },
    MIGRATION_MODULES={"shop": None},
    USE_TZ=True,
    SECRET_KEY="made-up",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
)
module = types.ModuleType("shop")
module.__path__ = [os.path.dirname(os.path.abspath(__file__))]
module.__file__ = __file__
sys.modules["shop"] = module
django.setup()

from django.contrib.auth.models import Group, Permission, User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import IntegrityError, connection, models, transaction  # noqa: E402
from django.db.models import Avg, Case, Count, Exists, F, OuterRef, Prefetch, Q, Subquery, Sum, Value, When, Window  # noqa: E402
from django.db.models.functions import Coalesce, Concat, Lower, Now, Rank, TruncMonth, Upper  # noqa: E402


class Author(models.Model):
    name = models.CharField(max_length=100, db_index=True)
    email = models.EmailField(unique=True)
    active = models.BooleanField(default=True)
    profile = models.JSONField(default=dict)
    born = models.DateField(null=True)

    class Meta:
        app_label = "shop"


class Tag(models.Model):
    label = models.SlugField(unique=True)

    class Meta:
        app_label = "shop"


class Book(models.Model):
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    tags = models.ManyToManyField(Tag)
    title = models.CharField(max_length=200)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    sold = models.IntegerField(default=0)
    at = models.DateTimeField()

    class Meta:
        app_label = "shop"
        ordering = ["title"]
        constraints = [models.CheckConstraint(condition=Q(sold__gte=0), name="sold_not_negative")]
        indexes = [models.Index(fields=["author", "at"])]


def logged(work):
    """Runs work with every statement written down."""
    path = os.environ.get("LIVE_STATEMENTS")
    if not path:
        return work()
    out = open(path, "w", encoding="utf-8")

    def note(execute, sql, params, many, context):
        out.write(" ".join(str(sql).split()) + "\n")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        result = work()
    out.close()
    return result


def schema():
    call_command("migrate", verbosity=0, interactive=False)
    tables = connection.introspection.table_names()
    with connection.schema_editor() as editor:
        for model in (Author, Tag, Book):
            if model._meta.db_table not in tables:
                editor.create_model(model)
    with connection.schema_editor() as editor:
        extra = models.CharField(max_length=10, default="x")
        extra.set_attributes_from_name("extra")
        editor.add_field(Author, extra)
        editor.remove_field(Author, extra)
    with connection.cursor() as cursor:
        described = connection.introspection.get_table_description(cursor, "shop_book")
        constraints = connection.introspection.get_constraints(cursor, "shop_book")
        relations = connection.introspection.get_relations(cursor, "shop_book")
        connection.introspection.get_sequences(cursor, "shop_book")
    return [[one.name for one in described], len(constraints), sorted(relations)]


def write(results):
    at = datetime.datetime(2026, 5, 4, tzinfo=datetime.timezone.utc)
    ada = Author.objects.create(name="Ada", email="ada@mail.example", profile={"a": [1, 2]})
    Author.objects.bulk_create(
        [Author(name=f"Author {n}", email=f"a{n}@mail.example", born=datetime.date(1990, 1, 1 + n)) for n in range(20)]
    )
    Author.objects.bulk_create([Author(name="Ada", email="ada@mail.example")], ignore_conflicts=True)
    Author.objects.bulk_create(
        [Author(name="Ada L.", email="ada@mail.example")],
        update_conflicts=True,
        unique_fields=["email"],
        update_fields=["name"],
    )
    authors = list(Author.objects.order_by("id"))
    Book.objects.bulk_create(
        [Book(author=author, title=f"Book {n}", price=n, at=at) for author in authors for n in range(3)], batch_size=25
    )
    tags = [Tag.objects.get_or_create(label=f"tag-{n}")[0] for n in range(3)]
    for book in Book.objects.filter(author=ada):
        book.tags.set(tags)
    Book.objects.filter(author=ada, title="Book 1").update(sold=F("sold") + 5, title=Concat("title", Value("!")))
    Book.objects.filter(author__name__startswith="Author").update(price=F("price") * 2)
    Book.objects.filter(pk__in=Book.objects.filter(price__gt=2).values("pk")).update(sold=1)
    books = list(Book.objects.filter(author=authors[1]))
    for book in books:
        book.sold += 2
    Book.objects.bulk_update(books, ["sold", "price"])
    Author.objects.update_or_create(email="ada@mail.example", defaults={"active": True})
    ada.refresh_from_db()
    ada.born = datetime.date(1815, 12, 10)
    ada.save(update_fields=["born"])
    ada.save()
    with transaction.atomic():
        locked = Author.objects.select_for_update(of=("self",)).get(pk=ada.pk)
        locked.name = "Ada Lovelace"
        locked.save()
        try:
            with transaction.atomic():
                Author.objects.create(name="x", email="ada@mail.example")
        except IntegrityError:
            results["integrity"] = True
        list(Author.objects.select_for_update(skip_locked=True).filter(active=True)[:2])
    Author.objects.filter(email="a1@mail.example").delete()
    authors[3].delete()
    Tag.objects.filter(label="tag-2").delete()
    Book.objects.filter(Q(sold__lt=0) | Q(title="none")).delete()


def read(results):
    results["first"] = plain(list(Author.objects.order_by("id").values_list("name", "active")[:3]))
    results["counted"] = plain(
        list(Author.objects.annotate(n=Count("books"), earned=Sum(F("books__price") * F("books__sold"))).order_by("email").values_list("email", "n", "earned")[:5])
    )
    results["joined"] = plain([(b.title, b.author.name) for b in Book.objects.select_related("author").order_by("id")[:4]])
    prefetched = Author.objects.prefetch_related(Prefetch("books", Book.objects.prefetch_related("tags"))).order_by("id")[:3]
    results["prefetched"] = plain([[b.title for b in a.books.all()] for a in prefetched])
    results["exists"] = Author.objects.filter(Exists(Book.objects.filter(author=OuterRef("pk"), sold__gt=2))).count()
    newest = Book.objects.filter(author=OuterRef("pk")).order_by("-sold", "id").values("title")[:1]
    results["subquery"] = plain(list(Author.objects.annotate(best=Subquery(newest)).order_by("id").values_list("best")[:3]))
    results["case"] = plain(
        list(Book.objects.annotate(kind=Case(When(price__gt=2, then=Value("dear")), default=Value("cheap"))).values("kind").annotate(n=Count("id")).order_by("kind").values_list())
    )
    results["months"] = len(Book.objects.annotate(month=TruncMonth("at")).values("month").annotate(n=Count("id")).order_by("month"))
    results["window"] = plain(list(Book.objects.annotate(place=Window(Rank(), partition_by=["author"], order_by=F("sold").desc())).order_by("id").values_list("place", flat=True)[:5]))
    results["functions"] = plain(list(Author.objects.order_by("id").annotate(u=Upper(Lower("name")), d=Coalesce("born", Now())).values_list("u", flat=True)[:3]))
    results["json"] = Author.objects.filter(profile__a__contains=[1]).count() + Author.objects.filter(profile__has_key="a").count()
    results["iexact"] = Author.objects.filter(Q(email__iexact="ADA@mail.example") & ~Q(name__icontains="zzz") & Q(name__iregex="^ada")).count()
    results["iterated"] = sum(1 for _ in Book.objects.iterator(chunk_size=10))
    results["aggregate"] = plain(list(Book.objects.aggregate(Avg("price"), Sum("sold")).values()))
    results["union"] = Author.objects.filter(name__startswith="A").union(Author.objects.filter(active=True)).count()
    results["distinct"] = len(Book.objects.order_by("author_id", "-id").distinct("author_id"))
    results["raw"] = len(list(Author.objects.raw("select * from shop_author where id > %s", [0])))
    results["explain"] = Author.objects.filter(pk=1).explain() != ""
    results["in_bulk"] = len(Author.objects.in_bulk(list(range(1, 9))))
    results["none"] = Author.objects.none().exists() or Author.objects.filter(pk=-1).exists()


def users(results):
    user = User.objects.create_user("paula", "paula@mail.example", "secret")
    group = Group.objects.create(name="editors")
    group.permissions.set(Permission.objects.filter(content_type__app_label="auth")[:3])
    user.groups.add(group)
    results["permissions"] = sorted(user.get_all_permissions())[:2]
    user.delete()
    group.delete()


def everything():
    results = {"schema": schema()}
    write(results)
    read(results)
    users(results)
    with connection.schema_editor() as editor:
        for model in (Book, Tag, Author):
            editor.delete_model(model)
    return results


say(logged(everything))
