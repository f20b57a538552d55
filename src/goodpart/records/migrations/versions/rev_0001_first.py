"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "events",
        sa.Column("seq", BIG, autoincrement=False, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_kind"), "events", ["kind"])
    op.create_table(
        "outbox",
        sa.Column("id", BIG, nullable=False),
        sa.Column("output", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("done_at", MOMENT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'sent', 'failed')", name=op.f("ck_outbox_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("output", "key", name=op.f("uq_outbox_output_key")),
    )
    op.create_index(
        op.f("ix_outbox_station_state_next_attempt"), "outbox", ["station", "state", "next_attempt"]
    )
    op.create_table(
        "training_images",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_training_images")),
    )
    op.create_table(
        "models",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("detector", sa.Text(), nullable=False),
        sa.Column("recipe_name", sa.Text(), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("limit_ok", sa.Double(), nullable=False),
        sa.Column("limit_ng", sa.Double(), nullable=False),
        sa.Column("level", sa.Double(), nullable=False),
        sa.Column("provenance", sa.Text(), nullable=False),
        sa.Column("registered_at", MOMENT, nullable=False),
        sa.Column("event", BIG, nullable=False),
        sa.ForeignKeyConstraint(["event"], ["events.seq"], name=op.f("fk_models_event")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_models")),
    )
    op.create_index(op.f("ix_models_event"), "models", ["event"])
    op.create_table(
        "inspections",
        sa.Column("number", BIG, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("arrival", sa.Text(), nullable=False),
        sa.Column("pocket", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("limit_ok", sa.Double(), nullable=True),
        sa.Column("limit_ng", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("image", sa.Text(), nullable=True),
        sa.Column("heatmap", sa.Text(), nullable=True),
        sa.Column("model_id", sa.Text(), nullable=True),
        sa.Column("model_version", sa.Text(), nullable=True),
        sa.Column("recipe", sa.Text(), nullable=True),
        sa.Column("lot", sa.Text(), nullable=True),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=True),
        sa.Column("taken_at", MOMENT, nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("timings", sa.Text(), nullable=False),
        sa.Column("transform", sa.Text(), nullable=True),
        sa.Column("event", BIG, nullable=False),
        sa.CheckConstraint(
            "verdict IN ('OK', 'NG', 'CHECK', 'NOT_JUDGED')", name=op.f("ck_inspections_verdict")
        ),
        sa.ForeignKeyConstraint(["event"], ["events.seq"], name=op.f("fk_inspections_event")),
        sa.ForeignKeyConstraint(
            ["model_version"], ["models.version"], name=op.f("fk_inspections_model_version")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_inspections")),
        sa.UniqueConstraint("arrival", "pocket", name=op.f("uq_inspections_arrival_pocket")),
        sa.UniqueConstraint("id", name=op.f("uq_inspections_id")),
    )
    op.create_index(op.f("ix_inspections_day_verdict"), "inspections", ["day", "verdict"])
    op.create_index(op.f("ix_inspections_event"), "inspections", ["event"])
    op.create_index(op.f("ix_inspections_heatmap"), "inspections", ["heatmap"])
    op.create_index(op.f("ix_inspections_image"), "inspections", ["image"])
    op.create_index(op.f("ix_inspections_lot"), "inspections", ["lot"])
    op.create_index(op.f("ix_inspections_taken_at"), "inspections", ["taken_at"])
    op.create_index(op.f("ix_inspections_verdict_number"), "inspections", ["verdict", "number"])
    op.create_table(
        "regions",
        sa.Column("id", BIG, nullable=False),
        sa.Column("inspection", BIG, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("x", sa.Integer(), nullable=False),
        sa.Column("y", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("area", sa.Integer(), nullable=False),
        sa.Column("peak", sa.Double(), nullable=True),
        sa.Column("mean", sa.Double(), nullable=True),
        sa.Column("area_mm2", sa.Double(), nullable=True),
        sa.Column("contour", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["inspection"], ["inspections.number"], name=op.f("fk_regions_inspection")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_regions")),
    )
    op.create_index(op.f("ix_regions_inspection"), "regions", ["inspection"])
    op.create_table(
        "reviews",
        sa.Column("id", BIG, nullable=False),
        sa.Column("inspection", BIG, nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("defect", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("event", BIG, nullable=False),
        sa.CheckConstraint("verdict IN ('OK', 'NG')", name=op.f("ck_reviews_verdict")),
        sa.ForeignKeyConstraint(["event"], ["events.seq"], name=op.f("fk_reviews_event")),
        sa.ForeignKeyConstraint(
            ["inspection"], ["inspections.number"], name=op.f("fk_reviews_inspection")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviews")),
    )
    op.create_index(op.f("ix_reviews_event"), "reviews", ["event"])
    op.create_index(op.f("ix_reviews_inspection"), "reviews", ["inspection"])
