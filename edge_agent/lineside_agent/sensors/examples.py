"""How each kind that needs to be told something is set up: what `lineside agent init --sensor KIND` writes."""

from __future__ import annotations

EXAMPLES = {
    "exec": """\
kind = "exec"              # a program of yours; the agent starts it, again when it ends, and ends it with itself
command = ["python3", "read_sensor.py"]
# folder = "."             # where it runs
# every_s = 60             # run it so often, each time for what it prints until it ends
format = "auto"            # CSV with a first line of names, or JSON; "regex" takes pattern
# timestamp = "timestamp"  # readings without it get the present time
""",
    "serial": """\
kind = "serial"            # needs: pip install 'lineside[serial]'
port = "/dev/ttyUSB0"      # /dev/serial/by-id/... stays the same wherever it is plugged in
baud = 9600
format = "csv"             # "json", or "regex" with pattern = '(?P<temperature_c>[-\\d.]+) C'
columns = ["temperature_c", "humidity_percent"]    # what the cells of a line are; one may be "timestamp"
# line_end = "lf"          # "cr" for devices that end lines so
# send = "START\\r\\n"       # what makes the device begin
""",
    "mqtt": """\
kind = "mqtt"              # topics of any broker, also of the one that the agent delivers to
url = "mqtt://localhost:1883"
# username = ""            # the password is safest in LINESIDE__SENSORS__MAIN__PASSWORD
values.vibration_g = { topic = "plant/press-1/vibration" }
values.temperature_c = { topic = "plant/press-1/state", path = "data.temperatures[0]" }
reading = "complete"       # a reading once every channel is new; "each": at every message, the others as they were
# max_age_s = 60           # how long "each" keeps a value
""",
    "modbus": """\
kind = "modbus"            # needs: pip install 'lineside[modbus]'
url = "tcp://192.168.1.20:502"    # rtu:///dev/ttyUSB0, or rtu+tcp://host:502 for a serial gateway
unit = 1
rate_hz = 1
# baud = 19200             # of rtu; so are parity = "even" and stop_bits = 1
registers.temperature_c = { address = 100, type = "int16", scale = 0.1 }
registers.pressure_bar = { address = 102, type = "float32", table = "input", word_order = "big" }
""",
    "opcua": """\
kind = "opcua"             # needs: pip install 'lineside[opcua]'
url = "opc.tcp://192.168.1.30:4840"
interval_s = 1.0
nodes.temperature_c = "ns=2;s=Press.Temperature"
nodes.pressure_bar = "ns=2;s=Press.Pressure"
# username = ""            # the password is safest in LINESIDE__SENSORS__MAIN__PASSWORD
""",
    "i2c": """\
kind = "i2c"               # needs: pip install 'lineside[i2c]'; this is a TMP102 thermometer
bus = 1                    # /dev/i2c-1
address = 0x48
rate_hz = 4
registers.temperature_c = { register = 0x00, type = "int16", shift = 4, scale = 0.0625 }
# init = [{ register = 0x01, bytes = [0x60, 0xA0], wait_ms = 30 }]    # written once, to wake it up
# burst = false            # true: registers that follow each other in one go
""",
    "iio": """\
kind = "iio"               # a sensor with a kernel driver: /sys/bus/iio/devices
device = "bme280"          # its name, or its folder
rate_hz = 1
# columns = ["temp_c", "pressure_kpa", "humidityrelative_percent"]
""",
    "hwmon": """\
kind = "hwmon"             # what the machine measures of itself: /sys/class/hwmon
device = "cpu_thermal"     # its name, or its folder
rate_hz = 1
# columns = ["temp1_c"]
""",
    "thermal": """\
kind = "thermal"           # the temperatures of the machine: /sys/class/thermal
rate_hz = 1
# columns = ["cpu_thermal_c"]
""",
    "audio": """\
kind = "audio"             # needs: pip install 'lineside[audio]', apt-get install libportaudio2
# device = "USB"           # a part of its name, or its number; by default the system's input
sample_rate_hz = 16000
inputs = 1                 # channels audio_1, audio_2, ...
""",
}
