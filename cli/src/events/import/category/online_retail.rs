//! The categories of the demo shop: rules by purpose (Christmas, Easter) or kind (a sign, a bag) come before those
//! by material or look.

use super::Rule;

/// Categories and their keywords, in order of precedence.
#[rustfmt::skip] // One keyword a line would be six hundred lines.
pub const RULES: &[Rule] = &[
    ("christmas", &[
        "CHRISTMAS", "XMAS", "ADVENT", "SANTA", "SNOWMAN", "SNOWMEN", "REINDEER", "RUDOLPH", "NATIVITY", "BAUBLE",
        "SNOWFLAKE", "MISTLETOE", "WREATH", "SLEIGH", "ICICLE", "SNOW GLOBE", "TINSEL", "NOEL",
    ]),
    ("easter", &["EASTER"]),
    ("signs", &["SIGN", "DOORSIGN", "PLAQUE", "NAMEPLATE", "BLOCK WORD", "LETTER BANK", "POSTER", "STENCIL", "TILE"]),
    ("hot-water-bottles", &["HOT WATER BOTTLE", "HOTTIE", "HAND WARMER", "HANDWARMER"]),
    ("lunch-and-picnic", &["LUNCH BOX", "LUNCHBOX", "SNACK BOX", "SNACK BOXES", "PICNIC", "FLASK", "HAMPER"]),
    ("bags", &[
        "BAG", "WASHBAG", "PURSE", "SHOPPER", "HANDBAG", "RUCKSACK", "BACKPACK", "WALLET", "TOTE", "SATCHEL",
        "LUGGAGE", "PASSPORT COVER", "HOLDALL", "SUITCASE",
    ]),
    ("umbrellas-and-clothing", &[
        "UMBRELLA", "PONCHO", "PARASOL", "SCARF", "HAT", "SOMBRERO", "SLIPPER", "SOCK", "EAR MUFF", "T SHIRT",
        "PASHMINA", "SHAWL", "FLIP FLOP", "SUNGLASSES", "SHOE", "BELT", "SILK FAN", "SANDALWOOD FAN", "PAPER FAN",
        "SARONG", "KIMONO", "JACKET", "LEG WARMER", "BOW TIE", "BADGE",
    ]),
    ("candles", &[
        "CANDLE", "T LIGHT", "TLIGHT", "TEALIGHT", "TEA LIGHT", "CANDLESTICK", "CANDLEHOLDER", "CANDLEPOT", "VOTIVE",
        "CANDELABRA", "CHOCOLATECANDLE", "SCENTCANDLE", "LIGHTER", "MATCHES",
    ]),
    ("lighting", &[
        "LIGHT", "LAMP", "LANTERN", "LAMPSHADE", "CHANDELIER", "TORCH", "NIGHTLIGHT", "SUNJAR", "LIGHTBULB",
    ]),
    ("clocks", &["CLOCK", "WATCH"]),
    ("frames-and-mirrors", &["FRAME", "MIRROR", "PHOTO", "PHOTOFRAME", "ALBUM"]),
    ("party", &[
        "PARTY", "BALLOON", "BIRTHDAY", "BUNTING", "GARLAND", "STREAMER", "CONFETTI", "PINATA", "NAPKIN",
        "PAPER CHAIN", "PAPER PLATE", "PAPER CUP", "COCKTAIL", "STRAW", "INVITATION", "INVITE", "WEDDING",
        "FEATHER BOA", "SPARKLER", "DOILEY", "DOILY", "DOILIES", "TATTOO",
    ]),
    ("baking", &[
        "CAKE CASE", "CAKE STAND", "CAKESTAND", "CAKE TIN", "BAKING", "BISCUIT", "COOKIE", "CAKE", "RECIPE",
        "MEASURING", "SPATULA", "WHISK", "ROLLING PIN", "PASTRY", "MIXING BOWL", "MOULD", "CUPCAKE", "JAM JAR",
        "JAM MAKING", "JELLY",
    ]),
    ("bath-and-fragrance", &[
        "INCENSE", "SOAP", "BATH", "BATHROOM", "PERFUME", "POT POURRI", "POTPOURRI", "FRAGRANCE", "FRAGRANCED",
        "OIL BURNER", "BODY", "BALM", "MANICURE", "COSMETIC", "TOILETRY", "TOOTHBRUSH", "SACHET", "SPONGE", "TOILET",
        "LAVENDER", "SCENT", "SCENTED", "SHOWER", "ESSENTIAL", "PLASTER", "HAND TOWEL", "GUEST TOWEL", "FLANNEL",
        "TISSUE", "WASH BAG",
    ]),
    ("gift-wrap-and-cards", &[
        "GIFT WRAP", "WRAP", "WRAPPING", "GIFT TAG", "GIFT TAPE", "RIBBON", "GREETING CARD", "CARD", "ENVELOPE",
        "GIFT BOX", "TISSUE PAPER", "POSTCARD",
    ]),
    ("jewellery", &[
        "NECKLACE", "NECKLAC", "NECKL", "BRACELET", "BRACLET", "EARRING", "RING", "BROOCH", "BROACH", "PENDANT",
        "BANGLE", "JEWELLERY", "CHARM", "HAIR", "HAIRCLIP", "HAIRBAND", "HAIRCOMB", "HAIRSLIDE", "TIARA", "CHOKER",
        "KEYRING", "KEY RING", "KEY FOB", "ANKLET", "DIAMANTE", "BEAD", "LARIAT", "CUFF",
    ]),
    ("stationery", &[
        "PEN", "PENCIL", "NOTEBOOK", "NOTE BOOK", "NOTEPAD", "JOURNAL", "STICKER", "STAMP", "STATIONERY", "RULER",
        "ERASER", "RUBBER", "BOOKMARK", "MEMO", "MEMOBOARD", "CALENDAR", "BOOK", "CRAYON", "CHALK", "DIARY",
        "WRITING", "SCISSOR", "FOLDER", "CALCULATOR", "SHARPENER", "PAPER CLIP", "MAGNET", "MAGNETIC", "POST IT",
        "CHALKBOARD", "BLACKBOARD", "NOTICE BOARD", "NOTICEBOARD", "PAINT SET", "MAP", "PAPERWEIGHT", "P WEIGHT",
        "PWEIGHT", "PAPER",
    ]),
    ("toys-and-games", &[
        "TOY", "GAME", "PUZZLE", "JIGSAW", "DOLL", "TEDDY", "SKITTLE", "DOMINO", "DOMINOES", "PLAYING CARD",
        "SPINNING TOP", "KITE", "ROCKET", "ROBOT", "TRAIN", "MARBLE", "PUPPET", "BALL", "CHILDS", "CHILDREN",
        "CHILDRENS", "BABY", "KIDS", "GIRL", "BOY", "BINGO", "LUDO", "SNAKE", "DRAWING", "DINOSAUR", "SOLDIER",
        "MAGIC", "TRICK", "MONEY BOX", "MONEY BANK", "MONEYBOX", "PIGGY BANK", "CRAFT", "KNITTING", "SEWING", "KIT",
        "SKIPPING ROPE", "WHISTLE", "YOYO", "HARMONICA", "RECORDER", "GUITAR", "CIRCUS", "CHESS", "GLIDER",
        "HELICOPTER", "MASK", "FELTCRAFT", "SLINKY", "TELESCOPE", "TAMBOURINE", "INFLATABLE", "PLAYHOUSE",
        "FELT FARM", "NINJA", "MODELLING CLAY", "MOBILE", "BABUSHKA NESTING BOXES", "CROQUET", "ROUNDERS", "DOMINOS",
    ]),
    ("garden", &[
        "GARDEN", "GARDENING", "GARDENER", "PLANT", "PLANTER", "FLOWER POT", "FLOWERPOT", "WATERING CAN", "WATERING",
        "BIRD FEEDER", "BIRDFEEDER", "BIRD TABLE", "BIRDHOUSE", "BIRD HOUSE", "NESTING BOX", "WIND CHIME",
        "WINDCHIME", "CHIME", "WINDMILL", "DOVECOTE", "GROW", "SEED", "HERB", "GREENHOUSE", "TROWEL", "SECATEURS",
        "SPRINKLER", "CLOCHE", "HANGING BASKET", "POTTING", "DECKCHAIR", "HAMMOCK", "FLY SWAT", "GNOME", "SHED",
        "ARBORETUM",
    ]),
    ("textiles-and-rugs", &[
        "CUSHION", "RUG", "DOORMAT", "DOOR MAT", "DOORSTOP", "DOOR STOP", "CURTAIN", "THROW", "QUILT", "BLANKET",
        "PILLOW", "BEDSPREAD", "FILLER PAD", "EIDERDOWN", "CANOPY", "BEANBAG",
    ]),
    ("kitchen", &["TEA TOWEL", "TEATOWEL", "TEA COSY", "EGG CUP"]),
    ("tea-and-coffee", &[
        "MUG", "TEAPOT", "TEA SET", "CUP", "SAUCER", "TEA", "COFFEE", "TEACUP", "CAFETIERE", "TEASPOON",
    ]),
    ("kitchen", &[
        "KITCHEN", "APRON", "OVEN", "TEA TOWEL", "TEATOWEL", "TEA COSY", "PAN", "COLANDER", "ENAMEL", "CASSEROLE",
        "TOAST", "BREAD", "EGG", "CUTTER", "CANISTER", "CANNISTER", "CHOPPING", "FRIDGE", "CHEESE", "FUNNEL",
        "STORAGE JAR", "BUTTER", "ICE", "SCALES", "MILK", "WASHING UP", "SPICE", "FOOD", "TRIVET", "SQUEEZER",
        "JUICE", "PANTRY", "SALAD SERVER", "STRAINER", "LAUNDRY",
    ]),
    ("tableware", &[
        "PLATE", "BOWL", "DISH", "CUTLERY", "SPOON", "FORK", "KNIFE", "TRAY", "JUG", "GLASS", "GLASSES", "WINE",
        "GOBLET", "TUMBLER", "COASTER", "PLACEMAT", "PLACE MAT", "TABLE MAT", "TABLECLOTH", "TABLE RUNNER", "PLATTER",
        "DECANTER", "SALT", "CHOPSTICK", "BEAKER", "CHAMPAGNE", "BOTTLE", "CORKSCREW",
    ]),
    ("furniture", &[
        "CHAIR", "STOOL", "TABLE", "BENCH", "CABINET", "DRAWER", "SHELF", "POUFFE", "SOFA", "LADDER", "WARDROBE",
        "CUPBOARD",
    ]),
    ("storage", &[
        "BASKET", "STORAGE", "BOX", "BOXES", "CRATE", "TRUNK", "HOOK", "COATHOOK", "HANGER", "CHEST", "BUCKET", "BIN",
        "TIDY", "ORGANISER", "CASE", "RACK", "HOLDER", "TIN", "JAR", "CONTAINER", "TRINKET", "RAIL",
    ]),
    ("pets", &["DOG", "CAT", "PET"]),
    ("home-decoration", &[
        "DECORATION", "DECORATIVE", "HEART", "ORNAMENT", "VASE", "FLOWER", "HANGING", "WICKER", "ANGEL", "BIRD",
        "BUTTERFLY", "BUTTERFLIES", "DOVE", "STAR", "FAIRY", "DOORKNOB", "KNOB", "HANDLE", "ROSE", "BUNCH", "POT",
        "CHERUB", "BIRDCAGE", "CAGE", "FIGURE", "STATUE", "BUDDHA", "METAL", "WOOD", "WOODEN", "FEATHER", "TULIP",
        "ORCHID", "LILY", "DAISY", "BLOSSOM", "SPRAY", "GLOBE", "CERAMIC", "HEN", "RABBIT", "DUCK", "CHICK", "SHELL",
        "ZINC", "CANVAS", "WALL ART", "FLAG",
    ]),
];
