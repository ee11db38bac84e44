//! The categories of Icecat's catalogue of electronics: rules of accessories (cable, case, lamp, toner) come before
//! those of the devices, because titles name the devices that accessories fit; the least specific ones come last.

use super::Rule;

/// Categories and their keywords, in order of precedence.
#[rustfmt::skip] // One keyword a line would be hundreds of lines.
pub const RULES: &[Rule] = &[
    ("services-and-software", &[
        "WARRANTY", "SUPPORT EXTENSION", "CARE PACK", "ONSITE", "ON SITE", "BUSINESS DAY", "SOFTWARE", "LICENSE", "SVC",
        "HW SUPP",
    ]),
    ("toys-and-games", &[
        "TOY", "PUZZLE", "DOLL", "PLAYHOUSE", "SYLVANIAN FAMILIES", "PAW PATROL", "BABY BORN", "KINETIC SAND",
        "MONSTER JAM", "ACTION FIGURE", "PLAYSET", "BOARD GAME", "CARD GAME", "VIDEO GAME", "CRAFT KIT",
        "COLOURING BOOK", "IRON ON BEAD", "PIECES", "KIDS",
    ]),
    ("bags-and-cases", &[
        "NOTEBOOK CASE", "BACKPACK", "BAG", "SLEEVE", "BRIEFCASE", "POUCH", "FOLIO", "PHONE CASE", "TABLET CASE",
        "CAMERA CASE", "PLAYER CASE", "EQUIPMENT CASE", "DEVICE CASE", "READER CASE", "DRIVE CASE", "CARRYING CASE",
        "CARRY CASE", "LEATHER CASE", "LAPTOP CASE",
    ]),
    ("screen-filters", &["PRIVACY FILTER", "PRIVACY SCREEN", "SCREEN PROTECTOR", "ANTI GLARE"]),
    ("label-printers", &["LABEL PRINTER"]),
    ("labels", &["LABEL", "LABELLING", "DYMO", "MARKING TAG"]),
    ("office-supplies", &["STAPLE"]),
    ("cables", &["KVM CABLE", "PANEL MOUNT CABLE", "DISTRIBUTION CABLE"]),
    ("kvm-switches", &["KVM"]),
    ("uninterruptible-power-supplies", &["UNINTERRUPTIBLE POWER SUPPLY", "UPS", "MGE GALAXY"]),
    ("power-distribution", &[
        "PDU", "POWER DISTRIBUTION", "SURGE", "SURGEARREST", "AC OUTLET", "POWER EXTENSION", "POWER STRIP",
    ]),
    ("toner-and-ink", &["TONER", "INK", "CARTRIDGE", "SINGLEPACK", "MULTIPACK", "RIBBON"]),
    ("printer-parts", &[
        "DRUM", "FUSER", "PRINTER KIT", "MAINTENANCE KIT", "TRANSFER KIT", "TRANSFER BELT", "ROLLER", "TRAY", "FEEDER",
        "PRINT HEAD", "PRINTHEAD", "IMAGING UNIT", "PHOTOCONDUCTOR", "STACKER", "FINISHER", "DUPLEX UNIT",
        "PRINTER BELT", "PRINTER CABINET", "PRINTER SCANNER SPARE", "PRINTER MEMORY", "EMULATION UPGRADE", "DEVELOPER",
    ]),
    ("lenses", &["LENS", "EF", "EF S"]),
    ("mounts-and-stands", &[
        "MOUNT", "MOUNTING KIT", "MOUNTING BRACKET", "STAND", "EXTENSION POLE", "FLAT PANEL ACCESSORY",
        "COMPUTER HOLDER", "CPU HOLDER", "TRIPOD",
    ]),
    ("cables", &["CABLE", "CORD", "PATCH LEAD"]),
    ("racks", &["RACK ACCESSORY", "RACK CABINET", "RACK ENCLOSURE", "NETSHELTER", "SMARTRACK", "PATCH PANEL"]),
    ("projectors", &["PROJECTOR", "PROJECTION"]),
    ("memory", &["MEMORY MODULE", "MEMORY CARD", "SDXC CARD", "FLASH DRIVE", "DIMM", "SODIMM"]),
    ("batteries", &["BATTERY", "BATTERIES"]),
    ("power-supplies", &["POWER SUPPLY", "POWER ADAPTER", "AC ADAPTER", "CHARGER", "POWER PLUG"]),
    ("office-supplies", &[
        "PAPER CUTTER", "CALCULATOR", "HOLE PUNCH", "DOCUMENT HOLDER", "SHREDDER", "LAMINATOR", "BINDER", "FOLDER",
        "LEITZ", "PENCIL",
    ]),
    ("paper-and-film", &[
        "PAPER", "LARGE FORMAT MEDIA", "PRINTING FILM", "PRINTABLE TEXTILE", "CANVAS", "PHOTO POCKET", "ENVELOPE",
    ]),
    ("graphics-cards", &["GRAPHICS CARD"]),
    ("motherboards", &["MOTHERBOARD", "DESKTOP BOARD", "WORKSTATION BOARD"]),
    ("keyboards-and-mice", &["KEYBOARD", "KEYPAD", "MOUSE", "WRIST REST", "PRESENTER", "TRACKBALL"]),
    ("network-equipment", &["PRINT SERVER"]),
    ("scanners", &["SCANNER", "SCANJET"]),
    ("printers", &["PRINTER", "LASERJET", "DESIGNJET", "PHOTOSMART", "OFFICEJET", "DESKJET", "FAX MACHINE"]),
    ("network-equipment", &[
        "ROUTER", "NETWORK", "NETWORKING CARD", "ACCESS POINT", "MEDIA CONVERTER", "TRANSCEIVER", "MODEM", "ANTENNA",
        "SWITCH", "FAST ETHERNET", "GIGABIT ETHERNET",
    ]),
    ("connectors-and-adapters", &[
        "CONNECTOR", "COUPLER", "ADAPTER", "GENDER CHANGER", "SPLITTER", "EXTENDER", "PLUG", "JACK",
    ]),
    ("computer-cases-and-cooling", &[
        "COMPUTER CASE", "COOLING", "COOLER", "FAN", "HEAT SINK", "CHASSIS", "SUPERCHASSIS",
    ]),
    ("audio-and-video", &[
        "DVD PLAYER", "HEADPHONES", "HEADSET", "SPEAKER", "LOUDSPEAKER", "MICROPHONE", "AUDIO", "RADIO", "MP3",
        "PLAYER", "REMOTE CONTROL",
    ]),
    ("servers", &["SERVER", "POWEREDGE", "PROLIANT"]),
    ("notebooks", &["NOTEBOOK", "LAPTOP", "CHROMEBOOK", "NETBOOK", "HYBRID 2 IN 1", "PROBOOK", "ELITEBOOK"]),
    ("phones-and-tablets", &[
        "PHONE", "SMARTPHONE", "TELEPHONE", "TABLET", "HANDHELD MOBILE COMPUTER", "HANDHELD DEVICE", "SMARTWATCH",
        "ACTIVITY TRACKER", "DUAL SIM",
    ]),
    ("cameras", &["CAMERA", "WEBCAM", "CAMCORDER", "BINOCULAR"]),
    ("computers", &["PC", "WORKSTATION", "BAREBONE", "THIN CLIENT"]),
    ("processors", &["PROCESSOR"]),
    ("drives-and-discs", &[
        "HARD DRIVE", "HARD DISK DRIVE", "SOLID STATE DRIVE", "OPTICAL DISC DRIVE", "DVD", "CD", "BLU RAY", "DATA TAPE",
        "NVME", "SATA",
    ]),
    ("monitors-and-televisions", &["MONITOR", "TV", "DISPLAY", "FLAT PANEL"]),
    ("interface-cards-and-hubs", &[
        "INTERFACE CARD", "INTERFACE HUB", "HUB", "CARD READER", "CONTROLLER", "PORT REPLICATOR", "DOCKING",
    ]),
    ("household", &[
        "SHAVER", "SHAVING", "RAZOR", "COFFEE", "TOOTHBRUSH", "VACUUM", "IRON", "BLENDER", "MIXER", "FRYER",
        "WASHING MACHINE", "EPILATOR", "HAIR", "TRIMMER", "KETTLE", "STEAMER", "FRIDGE", "TWEEZERS", "GRILL",
        "EXHAUST FILTER", "LIGHT BULB", "LAMP",
    ]),
    ("printers", &["DPI"]),
    // Of the printer's manufacturer.
    ("toner-and-ink", &["ORIGINAL"]),
    ("monitors-and-televisions", &["PIXELS"]),
];
