-- A session that moved, to another user or another start, leaves a row behind that takes its earlier place: `gone`.
--
-- Reports read `packed`, so the row says it there, too, in the highest bit of the number. Rows stored before are of
-- sessions that never moved.
ALTER TABLE {{ local("sessions") }}{{ on_cluster }}
    ADD COLUMN IF NOT EXISTS `gone` UInt8 DEFAULT 0 COMMENT 'Not 0: the session is elsewhere';
ALTER TABLE {{ local("sessions") }}{{ on_cluster }}
    MODIFY COLUMN `packed` FixedString(24) MATERIALIZED CAST(
        concat(
            reinterpret(user_key, 'FixedString(8)'),
            reinterpret(
                bitOr(
                    bitOr(
                        bitOr(bitShiftLeft(toUInt128(gone != 0), 127), bitShiftLeft(toUInt128(converting), 126)),
                        bitShiftLeft(toUInt128(bitShiftRight(landing_key, 22)), 84)),
                    bitOr(
                        bitShiftLeft(toUInt128(bitShiftRight(exit_key, 22)), 42),
                        toUInt128(bitShiftRight(before_exit_key, 22)))),
                'FixedString(16)')),
        'FixedString(24)')
        COMMENT 'What a report reads of every session: the user key, the three pages, and what it is' CODEC(NONE);
{% if cluster %}
ALTER TABLE sessions{{ on_cluster }} ADD COLUMN IF NOT EXISTS `gone` UInt8 DEFAULT 0;
{% endif %}
