"""Accounts, their posts, and who follows whom."""

from datetime import UTC, datetime

from sqlalchemy import Column, ForeignKey, Select, String, Table, or_, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from werkzeug.security import check_password_hash, generate_password_hash


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


class Base(DeclarativeBase):
    pass


follow = Table(
    "follow",
    Base.metadata,
    Column("follower_id", ForeignKey("account.id"), primary_key=True),
    Column("followed_id", ForeignKey("account.id"), primary_key=True),
)


class Account(Base):
    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    password_hash: Mapped[str] = mapped_column(String(256))
    about: Mapped[str] = mapped_column(String(200), default="")
    created: Mapped[datetime] = mapped_column(default=now)
    posts: Mapped[list["Post"]] = relationship(back_populates="author")
    following: Mapped[list["Account"]] = relationship(
        secondary=follow,
        primaryjoin=lambda: Account.id == follow.c.follower_id,
        secondaryjoin=lambda: Account.id == follow.c.followed_id,
        back_populates="followers",
    )
    followers: Mapped[list["Account"]] = relationship(
        secondary=follow,
        primaryjoin=lambda: Account.id == follow.c.followed_id,
        secondaryjoin=lambda: Account.id == follow.c.follower_id,
        back_populates="following",
    )

    def set_password(self, password: str) -> None:
        self.password_hash = generate_password_hash(password)

    def has_password(self, password: str) -> bool:
        return check_password_hash(self.password_hash, password)

    def follows(self, other: "Account") -> bool:
        return other in self.following

    def timeline(self) -> Select[tuple["Post"]]:
        """The posts of the account and of those that it follows, newest first."""
        followed = select(follow.c.followed_id).where(follow.c.follower_id == self.id)
        mine = or_(Post.author_id == self.id, Post.author_id.in_(followed))
        return select(Post).where(mine).order_by(Post.id.desc())


class Post(Base):
    __tablename__ = "post"

    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    text: Mapped[str] = mapped_column(String(280))
    created: Mapped[datetime] = mapped_column(default=now)
    author: Mapped[Account] = relationship(back_populates="posts")
