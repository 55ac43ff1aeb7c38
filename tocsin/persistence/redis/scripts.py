"""The Lua scripts of the spool; each is one atomic step of Redis.

The scripts trust no data that they find, because every client that can write to Redis may have put
them there. Their answers have our shape and a bounded size, whatever the keys hold.
"""

from __future__ import annotations

from typing import Final

ENTRY_BYTES_MAX: Final = 8 << 20
"""Bytes of an entry's payload: more than any request of a producer becomes."""
TAKEN_BYTES_MAX: Final = 8 << 20
"""Bytes of the entries that are taken at once; the last may exceed them."""
EXCERPT_BYTES: Final = 4096
"""Bytes of an entry that was set aside, to be shown to an operator."""
FOREIGN_BYTES_MAX: Final = 16 << 10
"""Bytes kept of an entry that is not ours: an ordinary post of an older release is kept whole."""
LEASE_MAX: Final = 60.0
"""Seconds of the longest lease: one that ends later was not made by a node, and does not count."""
CLAIM_BYTES_MAX: Final = 4096
"""Bytes of a claim that is looked at; one of ours is shorter, and strangers may write to Redis."""
FIELDS_MAX: Final = 16
"""Fields of an entry that are read: a node writes three."""

LAST_ID: Final = f"{2**64 - 1}-{2**64 - 1}"
"""The greatest id that an entry of a stream can have."""
AHEAD_MAX: Final = 3600.0
"""Seconds that an entry's id may be ahead of Redis's clock, which may have been set back."""

_APPENDING: Final = f"""\
local AHEAD = {round(AHEAD_MAX * 1000)}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function current_run(stream, key)
    local run = redis.call('XLEN', stream) > 0 and redis.call('GET', key)
    return run and #run <= 64 and string.match(run, '^%d+%-%d+$')
end

local function is_ahead(id)
    return tonumber(string.match(id, '^%d+')) > now + AHEAD
end

-- Ids rise, so one entry of somebody's with the highest of all would leave none for those behind.
-- Whatever stands so far ahead gets an id of today, in its order.
local function bring_back(stream)
    local ahead = {{}}
    for _, entry in ipairs(redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1000)) do
        if not is_ahead(entry[1]) then break end
        redis.call('XDEL', stream, entry[1])
        if #entry[2] <= 100 then table.insert(ahead, 1, entry[2]) end
    end
    local top = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    local is_later = top and tonumber(string.match(top[1], '^%d+')) >= now
    redis.call('XSETID', stream, is_later and top[1] or string.format('%.0f-0', now))
    for _, fields in ipairs(ahead) do redis.call('XADD', stream, '*', unpack(fields)) end
end

local function append(stream, payload, at, seal)
    local function add()
        return redis.pcall('XADD', stream, '*', 'payload', payload, 'at', at, 'seal', seal)
    end
    local id = add()
    if id.err and string.find(id.err, 'exhausted') then
        bring_back(stream)
        id = add()
    elseif not id.err and is_ahead(id) then
        redis.call('XDEL', stream, id)
        bring_back(stream)
        id = add()
    end
    if id.err then error(id.err) end
    return id
end
"""

_HOLDING: Final = f"""\
local function is_held_from(lease, node)
    local holder, left = redis.call('GET', lease), redis.call('PTTL', lease)
    return holder and holder ~= node and left >= 0 and left <= {round(LEASE_MAX * 1000)}
end
"""

_READING: Final = f"""\
local function find(fields, name)
    for i = 1, math.min(#fields - 1, {FIELDS_MAX}), 2 do
        if fields[i] == name then return fields[i + 1] end
    end
end

local function field(fields, name, most)
    return string.sub(find(fields, name) or '', 1, most)
end
"""

APPEND: Final = (
    _APPENDING
    + f"""
local stream, run_key, lifetime, at = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
if math.abs(now - at) > tonumber(ARGV[3]) then
    return redis.error_reply('CLOCK this clock and that of the node are too far apart')
end
local run = current_run(stream, run_key)
local key, argument, earlier = 3, 4, {{}}

local function add(payload, seal)
    local entry = append(stream, payload, at, seal)
    if not run then
        run = entry
        redis.call('SET', run_key, run)
    end
end

while argument <= #ARGV do
    if ARGV[argument + 2] == '' then
        add(ARGV[argument], ARGV[argument + 1])
        earlier[#earlier + 1] = false
        argument = argument + 3
    else
        local before = redis.call('HMGET', KEYS[key], 'fingerprint', 'answer', 'seal')
        if redis.call('EXISTS', KEYS[key]) == 1 then
            for i = 1, 3 do
                if not before[i] or #before[i] > {CLAIM_BYTES_MAX} then before[i] = '' end
            end
            earlier[#earlier + 1] = before
        elseif ARGV[argument] == '' then
            earlier[#earlier + 1] = false
        else
            add(ARGV[argument], ARGV[argument + 1])
            redis.call('HSET', KEYS[key], 'fingerprint', ARGV[argument + 3],
                'answer', ARGV[argument + 4], 'seal', ARGV[argument + 5])
            redis.call('PEXPIRE', KEYS[key], lifetime)
            earlier[#earlier + 1] = false
        end
        key, argument = key + 1, argument + 6
    end
end
return {{run or '', earlier}}
"""
)
"""Appends drafts whose keys are not claimed.

Keys: the stream, the run, and the claims. Arguments: a claim's lifetime, the node's time, the
greatest difference of the clocks (all in milliseconds), and for each draft its payload and seal,
followed either by `''`, or by `claimed` and the fingerprint, answer and seal of its claim. A draft
with a claim and an empty payload only asks whether its key is claimed.

Answers the run, and for each draft false, or the three parts of the earlier claim.
"""

TAKE: Final = (
    _HOLDING
    + _READING
    + f"""
local stream, lease = KEYS[1], KEYS[2]
local node, milliseconds, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
if is_held_from(lease, node) then return false end
redis.call('SET', lease, node, 'PX', milliseconds)

local taken, bytes, from = {{}}, 0, '-'
while #taken < limit and bytes < {TAKEN_BYTES_MAX} do
    local some = redis.call('XRANGE', stream, from, '+', 'COUNT', math.min(limit - #taken, 32))
    for _, entry in ipairs(some) do
        if bytes >= {TAKEN_BYTES_MAX} then break end
        local fields = entry[2]
        local payload, row = find(fields, 'payload'), nil
        if not payload then
            local seen = {{}}
            for i = 1, math.min(#fields, {FIELDS_MAX}) do
                seen[i] = string.sub(fields[i], 1, {EXCERPT_BYTES // FIELDS_MAX})
            end
            row = {{entry[1], 'no_payload', table.concat(seen, ' ')}}
        elseif #payload > {ENTRY_BYTES_MAX} then
            row = {{entry[1], 'too_large', string.sub(payload, 1, {EXCERPT_BYTES})}}
        else
            row = {{entry[1], '', payload, field(fields, 'at', 20), field(fields, 'seal', 64)}}
        end
        taken[#taken + 1] = row
        bytes = bytes + #row[3]
    end
    -- Nothing can come behind the highest id, and Redis refuses to be asked for it.
    if #some == 0 or some[#some][1] == '{LAST_ID}' then break end
    from = '(' .. some[#some][1]
end
return taken
"""
)
"""Takes the lease, if no other node has it, and reads the first entries.

Keys: the stream and the lease. Arguments: the node, the lease's milliseconds, the number of entries
at most.

Answers false if another node has the lease; otherwise for each entry its id, the fault of its shape
(`''` for none), and its payload with time and seal, or an excerpt if it has a fault.
"""

PUT_ASIDE: Final = (
    _HOLDING
    + """
local stream, lease = KEYS[1], KEYS[2]
if is_held_from(lease, ARGV[1]) then return end
for i = 2, #ARGV, 6 do
    local list, most, id = KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2]
    if #redis.call('XRANGE', stream, id, id) == 1 then
        -- In this order, because adding may be refused, and what was done before stays done.
        redis.call('XADD', list, 'MAXLEN', most, '*',
            'id', id, 'payload', ARGV[i + 3], 'reason', ARGV[i + 4], 'seal', ARGV[i + 5])
        redis.call('XDEL', stream, id)
    end
end
"""
)
"""Moves entries from the stream to the lists of those set aside, unless another node has the lease.

Keys: the stream, the lease, and the lists. Arguments: the node, and for each entry the number of
its list among the keys, the entries that this list keeps, its id, payload, reason and seal.
"""

SHOW: Final = (
    _READING
    + f"""
local shown = {{}}
for i, list in ipairs(KEYS) do
    redis.call('XTRIM', list, 'MAXLEN', ARGV[i + 1])
    for _, each in ipairs(redis.call('XREVRANGE', list, '+', '-', 'COUNT', ARGV[1])) do
        local fields = each[2]
        local id = field(fields, 'id', 64)
        if id == '' then id = each[1] end
        shown[#shown + 1] = {{each[1], id, field(fields, 'payload', {EXCERPT_BYTES}),
            field(fields, 'reason', 300)}}
    end
end
return shown
"""
)
"""Reads the newest entries that were set aside.

Keys: the lists. Arguments: the number of entries wanted of each list, and for each list the number
that it keeps.

Answers for each entry its id in the list, its id in the stream, the beginning of its payload, and
the reason.
"""

# The search begins with the newest entries, which operators usually ask for.
FIND: Final = (
    _READING
    + f"""
for i, list in ipairs(KEYS) do
    redis.call('XTRIM', list, 'MAXLEN', ARGV[i + 1])
    local before = '+'
    while true do
        local some = redis.call('XREVRANGE', list, before, '-', 'COUNT', 100)
        if #some == 0 then break end
        for _, each in ipairs(some) do
            local id = field(each[2], 'id', 64)
            if id == ARGV[1] or (id == '' and each[1] == ARGV[1]) then
                local payload = field(each[2], 'payload', {ENTRY_BYTES_MAX})
                return {{i, each[1], payload, field(each[2], 'seal', 64)}}
            end
        end
        before = '(' .. some[#some][1]
    end
end
return false
"""
)
"""Finds an entry that was set aside.

Keys: the lists. Arguments: the entry's id in the stream, and for each list the number of entries
that it keeps.

Answers false, or the number of its list among the keys, its id there, its payload and its seal.
"""

REPLAY: Final = (
    _APPENDING
    + """
local stream, run_key, list = KEYS[1], KEYS[2], KEYS[3]
if #redis.call('XRANGE', list, ARGV[1], ARGV[1]) == 0 then return 0 end
local run = current_run(stream, run_key)
local entry = append(stream, ARGV[2], ARGV[3], ARGV[4])
if not run then redis.call('SET', run_key, entry) end
redis.call('XDEL', list, ARGV[1])
return 1
"""
)
"""Appends an entry that was set aside to the stream again, and removes it from its list.

Keys: the stream, the run, the list. Arguments: the id in the list, the payload, the time, the seal.

Answers whether it was in the list.
"""
